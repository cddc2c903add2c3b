"""Train a task: the one function behind the command and the experiments."""

from dataclasses import dataclass
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
    needs_pickling: whether the task is sent to other processes.
    """

    @property
    def evaluate_every(self) -> float:
        """See above."""
        ...

    @property
    def needs_pickling(self) -> bool:
        """See above."""
        ...

    def run(
        self, setup: Setup, *, folder: Folder | None = None, observe: Observer | None = None
    ) -> Result:
        """From the first pull to the result."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A run whose input has been found sound; nothing has been started but its folder."""

    setup: Setup
    runtime: Runtime
    folder: Folder | None

    def run(self, observe: Observer | None = None) -> Result:
        """Carry it out, once. observe: see `train`."""
        try:
            return self.runtime.run(self.setup, folder=self.folder, observe=observe)
        finally:
            if self.folder is not None:
                self.folder.close()


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
    return prepare(
        task,
        rule=rule,
        policy=policy,
        runtime=runtime,
        workers=workers,
        until=until,
        seed=seed,
        delays=delays,
        ema=ema,
        buffers=buffers,
        release_dropped=release_dropped,
        evaluate_every=evaluate_every,
        out=out,
    ).run(observe)


def prepare(
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
) -> Prepared:
    """Check all that `train` is given, and make the run's folder.

    Arguments and errors as of `train`; whatever is raised later is no fault of the input.
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
        buffers=_buffer_policy(buffers),
        release_dropped=release_dropped,
        evaluate_every=runtime.evaluate_every if evaluate_every is None else evaluate_every,
    )
    built.validate(pickles=runtime.needs_pickling)
    _rehearse(setup)
    if out is None:
        return Prepared(setup, runtime, None)
    folder = Folder(Path(out))
    folder.config(
        configuration(setup, task=task if isinstance(task, str) else None, runtime=runtime)
    )
    return Prepared(setup, runtime, folder)


def _buffer_policy(given: BufferPolicy | str) -> BufferPolicy:
    try:
        return BufferPolicy(given)
    except ValueError:
        choices = ", ".join(BufferPolicy)
        raise ValueError(f"Expected buffers to be one of {choices}, got {given!r}.") from None


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
