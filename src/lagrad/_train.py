"""Train a task: the one function behind the command and the experiments."""

from pathlib import Path
from typing import Any, Protocol

from lagrad import specs
from lagrad.core import BufferPolicy, Policy, Rule
from lagrad.delays import Delays, Equal
from lagrad.policies import Asynchronous
from lagrad.rules import default_rule
from lagrad.runtimes import Folder, Local, Observer, Result, Setup, Until, new_server
from lagrad.tasks import Differentiator, Task

from ._configuration import configuration, find_task


class Runtime(Protocol):
    """What carries a setup out.

    evaluate_every: seconds on its clock between evaluations where a run does not say.
    """

    @property
    def evaluate_every(self) -> float:
        """See above."""
        ...

    def run(
        self, setup: Setup, *, folder: Folder | None = None, observe: Observer | None = None
    ) -> Result:
        """From the first pull to the result."""
        ...


def train(
    task: Task | str,
    *,
    rule: Rule | str | None = None,
    policy: Policy | str | None = None,
    runtime: Runtime | None = None,
    workers: int = 4,
    until: Until,
    seed: int = 0,
    delays: Delays | str | None = None,
    ema: float | None = None,
    buffers: BufferPolicy | str = BufferPolicy.MEAN,
    release_dropped: bool = True,
    evaluate_every: float | None = None,
    out: Path | str | None = None,
    observe: Observer | None = None,
) -> Result:
    """Train a task without waiting for the slow workers.

    task, rule, policy, delays: objects, or specifications such as "lenet-mnist",
    "dynamic:lr=0.05", "k-batch-async:3", "stragglers". rule: None for `default_rule(workers)`;
    policy: None for `Asynchronous()`. runtime: None for `Local()`. workers: how many.
    until: budgets and target. seed: of parameters, sample order and delays. delays: job times.
    ema: decay of averaged weights used for evaluation, None for none. buffers: of the model,
    "mean", "latest" or "recalibrate". release_dropped: whether samples of dropped gradients are
    handed out again. evaluate_every: seconds on the runtime's clock, None: as the runtime says.
    out: a new folder for configuration, trace, metrics and weights, or None.
    Raises: ValueError or TypeError before anything starts if something does not fit;
    RuntimeError if every worker dies.

    >>> from lagrad import policies, rules, runtimes
    >>> result = train("quadratic", rule=rules.SGD(lr=0.5), runtime=runtimes.Simulator(),
    ...     workers=2, until=Until(updates=100))
    >>> result.updates, result.mean_staleness
    (100, 0.99)
    """
    runtime = Local() if runtime is None else runtime
    built = find_task(task) if isinstance(task, str) else task
    if not callable(getattr(runtime, "run", None)):
        raise TypeError(f"Expected a runtime such as Simulator() or Local(), got {runtime!r}.")
    setup = Setup(
        task=built,
        rule=default_rule(max(1, workers)) if rule is None else _made("rule", rule),
        policy=Asynchronous() if policy is None else _made("policy", policy),
        workers=workers,
        until=until,
        seed=seed,
        delays=Equal() if delays is None else _made("delays", delays),
        ema=ema,
        buffers=BufferPolicy(buffers),
        release_dropped=release_dropped,
        evaluate_every=runtime.evaluate_every if evaluate_every is None else evaluate_every,
    )
    built.validate(pickles=isinstance(runtime, Local))
    _rehearse(setup)
    if out is None:
        return runtime.run(setup, observe=observe)
    folder = Folder(Path(out))
    try:
        folder.config(
            configuration(setup, task=task if isinstance(task, str) else None, runtime=runtime)
        )
        return runtime.run(setup, folder=folder, observe=observe)
    finally:
        folder.close()


def _rehearse(setup: Setup) -> None:
    # What the rule makes of the model, and what the target of the scores, is known only when tried.
    differentiator = Differentiator(setup.task, setup.seed)
    new_server(setup, differentiator)
    goal = setup.until.goal
    if goal is None:
        return
    if setup.task.evaluate is None:
        raise ValueError(f"Task {setup.task.name} has no scores, so a target cannot be reached.")
    buffers = differentiator.initial_buffers()
    goal.reached(differentiator.evaluate(differentiator.initial_params(), buffers))


def _made(kind: str, given: Any) -> Any:
    return specs.parse(kind, given) if isinstance(given, str) else given
