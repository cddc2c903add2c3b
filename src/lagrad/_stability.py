"""A learning rate that cannot converge, where the limit is known in closed form."""

import math

from lagrad.core import Rule
from lagrad.policies import Asynchronous, BackupWorkers, KBatchSync, KSync, Synchronous
from lagrad.rules import (
    SGD,
    SMEGA2,
    DynamicMomentum,
    Momentum,
    RollForward,
    WeightPrediction,
    WorkerMomenta,
)
from lagrad.runtimes import Setup
from lagrad.weights import Constant, Geometric

#: The eigenvalues of a matrix as large as the workers take a second for 32, minutes for 300.
_MOST_IN_TURN = 32


def beyond_the_limit(setup: Setup) -> str:
    """Why the run will not converge, empty where nothing is known against it.

    Known for tasks that state their smoothness L, constant learning rates, workers in turn
    (asynchronous) or nothing late (synchronous), and rules with a characteristic polynomial:
    eta <= x_max / L. Beyond 32 workers in turn only where it is closed: without momentum, and for
    heavy ball.
    """
    lr, smoothness = getattr(setup.rule, "lr", None), setup.task.smoothness
    if isinstance(setup.rule, WeightPrediction):
        lr = getattr(setup.rule.rule, "lr", None)
    if smoothness is None or not isinstance(lr, int | float):
        return ""
    if isinstance(setup.policy, Asynchronous):
        turns = setup.workers
    elif isinstance(setup.policy, Synchronous | BackupWorkers | KSync | KBatchSync):
        turns = 1
    else:
        return ""
    known = _dynamics(setup.rule, turns)
    if known is None:
        return ""
    name, momentum = known
    limit = _limit(name, momentum, turns) / smoothness
    if lr <= limit:
        return ""
    with_momentum = f" with momentum {momentum:g}" if momentum else ""
    return (
        f"Expected a learning rate of at most {limit:.3g} for {name}{with_momentum} at a constant "
        f"staleness of {turns - 1} on {setup.task.name}, got {lr:g}; beyond it the run diverges "
        "unless delays vary much. Lower it."
    )


def _limit(name: str, momentum: float, turns: int) -> float:
    from lagrad import theory  # SciPy is slow to import; few runs need it

    if turns <= _MOST_IN_TURN:
        return theory.stability_limit(name, "round-robin", momentum, workers=turns)
    if name == "sgd":
        return theory.sgd_limit(turns - 1)
    if name == "heavy-ball":
        return theory.heavy_ball_limit(turns - 1, momentum)
    return math.inf


def _dynamics(rule: Rule, turns: int) -> tuple[str, float] | None:
    """The name in `lagrad.theory` and the momentum of a rule with workers in turn, if known."""
    name: str | None = None
    momentum = getattr(rule, "momentum", 0.0)
    match rule:
        case SGD(weight_decay=0.0) if rule.weight(turns - 1) == 1:
            name = "sgd"
        case Momentum(weight=Constant(), weight_decay=0.0):
            name = "nesterov" if rule.nesterov else "heavy-ball"
        case WorkerMomenta():
            name = "multi-asgd" if rule.form == "multi-asgd" else "dana"
        case SMEGA2() if rule.workers == turns:
            name = "smega2"
        case WeightPrediction() if rule.steps in {None, float(turns - 1)}:
            inner, momentum = _dynamics(rule.rule, turns) or ("", 0.0)
            name = {"heavy-ball": "lwp", "spike-compensation": "lwp+sc"}.get(inner)
        case DynamicMomentum(kernel=Geometric(), horizon=None, weight_decay=0.0) if (
            rule.weight(turns - 1) == 1 and rule.kernel(1) < 1
        ):
            name, momentum = _by_date(rule, turns), rule.kernel(1)
    return None if name is None else (name, momentum)


def _by_date(rule: DynamicMomentum, turns: int) -> str | None:
    match rule.catch_up, rule.bucket, rule.lookahead:
        case 1.0, 1, None:
            return "spike-compensation"
        case 1.0, bucket, None if bucket == turns:
            return "ormo"
        case 0.0, 1, RollForward(reach=1.0, fill=1.0):
            return "roll-forward"
    return None
