"""Prediction against runs: lagrad's own rules on a quadratic, workers in turn, in the simulator."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lagrad import train
from lagrad.core import Rule
from lagrad.delays import Equal
from lagrad.policies import Asynchronous
from lagrad.rules import SGD, Momentum, ormo, roll_forward, spike_compensation
from lagrad.runtimes import Simulator, Until
from lagrad.tasks import quadratic
from lagrad.theory import Optimum, optimal_momentum, optimal_rate

from ._experiment import Cell, Study, Tables

#: Late enough for the slowest eigenvalue alone to be left, in predicted time constants.
_FROM, _TO = 60.0, 140.0
#: A rule whose best momentum is negative, which lagrad does not take, runs at this one.
_HEAVY_BALL = 0.9


def _cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    del tables
    rules = ("sgd", "heavy-ball", "spike-compensation", "ormo", "roll-forward")
    return [
        {"rule": rule, "workers": workers, "condition": condition}
        for condition in ((10.0,) if quick else (10.0, 100.0))
        for workers in ((4, 2) if quick else (8, 4, 2))
        for rule in rules
    ]


def _rule(name: str, best: Optimum, workers: int) -> Rule:
    lr, momentum = best.lr, best.momentum
    match name:
        case "sgd":
            return SGD(lr=lr)
        case "heavy-ball":
            return Momentum(lr=lr, momentum=momentum)
        case "spike-compensation":
            return spike_compensation(lr=lr, momentum=momentum)
        case "ormo":
            return ormo(workers, lr=lr, momentum=momentum)
    assert name == "roll-forward"
    return roll_forward(workers, lr=lr, momentum=momentum)


def _simulated(rule: str, workers: int, condition: float) -> list[dict[str, Any]]:
    if rule == "heavy-ball":
        best = optimal_rate(rule, "round-robin", condition, _HEAVY_BALL, workers=workers)
    else:
        best = optimal_momentum(rule, "round-robin", condition, workers=workers)
    predicted = best.time_constant
    result = train(
        quadratic(condition=condition, dimension=20),
        rule=_rule(rule, best, workers),
        policy=Asynchronous(),
        runtime=Simulator(),
        workers=workers,
        delays=Equal(),
        until=Until(updates=round(_TO * predicted)),
        evaluate_every=1.0,
    )
    updates = np.array([evaluation.version for evaluation in result.evaluations])
    losses = np.array([evaluation.scores["loss"] for evaluation in result.evaluations])
    measured = _time_constant(updates, losses, since=_FROM * predicted)
    return [
        {
            "lr": best.lr,
            "momentum": best.momentum,
            "predicted": predicted,
            "measured": measured,
            "ratio": measured / predicted,
            "updates": int(updates[-1]),
            "last_loss": float(losses[-1]),
        }
    ]


def _time_constant(updates: Any, losses: Any, *, since: float) -> float:
    """Updates per e-fold of the error, f ~ rho^(2 t), from the envelope of f after `since`.

    The slowest eigenvalue is nearly a double root at an optimum, f ~ t^(2 b) rho^(2 t): b is fitted
    beside rho.
    """
    late = (updates >= since) & (losses > 0)
    t, envelope = updates[late], np.maximum.accumulate(losses[late][::-1])[::-1]
    # The last oscillation has no later maximum to be under.
    inside = slice(0, len(t) - len(t) // 8)
    columns = np.stack([np.ones(len(t)), t, np.log(t)], axis=1)[inside]
    (_, slope, _), *_ = np.linalg.lstsq(columns, np.log(envelope[inside]) / 2, rcond=None)
    return float(-1 / slope)


SIMULATED = Study("simulated", _cells, _simulated)
