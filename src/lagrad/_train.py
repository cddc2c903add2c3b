"""Train a task, or replay a run: each is prepared, whose errors are the input's, and then run."""

import difflib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lagrad import runtimes, specs
from lagrad.chaos import Fault
from lagrad.core import BufferPolicy, Guard, Policy, Rule
from lagrad.delays import Delays, Equal
from lagrad.policies import Asynchronous
from lagrad.rules import default_rule
from lagrad.runtimes import (
    DeferredSignals,
    Durability,
    Folder,
    Keeping,
    Local,
    Observer,
    Ray,
    Replayed,
    Result,
    Setup,
    Simulator,
    Until,
    new_server,
    refuse_death_of_server,
    rehearse,
    require_memory,
)
from lagrad.tasks import Differentiator, Task
from lagrad.trace import read_trace

from ._configuration import (
    configuration,
    find_task,
    read_configuration,
    read_saved,
    require_files,
)
from ._stability import beyond_the_limit


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
        self,
        setup: Setup,
        *,
        folder: Folder | None = None,
        observe: Observer | None = None,
        differentiator: Differentiator | None = None,
    ) -> Result:
        """From the first pull to the result.

        differentiator: of the setup's task and seed, where one is there already.
        """
        ...


@dataclass(frozen=True)
class Prepared:
    """A run whose input has been found sound; nothing has been started but its folder.

    differentiator: what the task was tried out with. signals: those that have come since there is
    a folder; None without one.
    """

    setup: Setup
    runtime: Runtime
    folder: Folder | None
    differentiator: Differentiator
    signals: DeferredSignals | None = None

    def run(self, observe: Observer | None = None) -> Result:
        """Carry it out, once. observe: see `train`."""
        try:
            return self.runtime.run(
                self.setup,
                folder=self.folder,
                observe=observe,
                differentiator=self.differentiator,
            )
        except OSError as error:  # before the run had books to close
            words = runtimes.shortage(error)
            if words is None:
                raise
            raise runtimes.RunFailed(words) from error
        finally:
            if self.folder is not None:
                self.folder.close()
            if self.signals is not None:
                self.signals.end()


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
    chaos: Sequence[Fault | str] = (),
    guard: Guard | str = "guard",
    keeping: Keeping | None = None,
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
    chaos: faults that happen on purpose, "kill:worker=2,at=30s"; `audit` proves that they did.
    guard: what is done about bad gradients, "guard:longest=10,spike=20".
    keeping: checkpoints in `out`, from which `resume` goes on, None for `Keeping()`.
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
        chaos=chaos,
        guard=guard,
        keeping=keeping,
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
    chaos: Sequence[Fault | str] = (),
    guard: Guard | str = "guard",
    keeping: Keeping | None = None,
    out: Path | str | None = None,
    supervised: bool = False,
) -> Prepared:
    """Check all that `train` is given, and make the run's folder.

    Arguments and errors as of `train`; whatever is raised later is no fault of the input.
    supervised: whether another process starts this one again if it dies.
    Warns: UserWarning where the learning rate is known to be beyond the limit of stability.
    """
    runtime = Local() if runtime is None else runtime
    built = find_task(task) if isinstance(task, str) else task
    if not callable(getattr(runtime, "run", None)):
        raise TypeError(
            f"Expected a runtime such as Simulator() or Local(), got {runtime!r}; give one."
        )
    setup = Setup(
        task=built,
        rule=_default_rule(workers) if rule is None else _made("rule", rule),
        policy=Asynchronous() if policy is None else _made("policy", policy),
        workers=workers,
        until=until,
        seed=seed,
        delays=Equal() if delays is None else _made("delays", delays),
        ema=ema,
        buffers=_buffer_policy(buffers),
        release_dropped=release_dropped,
        evaluate_every=runtime.evaluate_every if evaluate_every is None else evaluate_every,
        chaos=tuple(_made("fault", fault) for fault in chaos),
        guard=_made("guard", guard),
    )
    resumable = isinstance(runtime, Local | Simulator | Ray)
    keeping = Keeping() if keeping is None else keeping
    comes_back = supervised and keeping.durability is not Durability.NONE and out is not None
    if not (isinstance(runtime, Simulator) or comes_back):
        refuse_death_of_server(setup.chaos)
    if callable(require := getattr(runtime, "require", None)):
        require(setup, keeping if out is not None else None)
    differentiator = rehearse(setup, pickles=runtime.needs_pickling)
    if against := beyond_the_limit(setup):
        warnings.warn(against, stacklevel=2)
    if out is None:
        return Prepared(setup, runtime, None, differentiator)
    if resumable and keeping.durability is not Durability.NONE:
        require_memory(new_server(setup, differentiator))
    signals = DeferredSignals()
    signals.begin()
    try:
        folder = Folder(Path(out), keeping=keeping if resumable else None)
        folder.config(
            configuration(
                setup,
                task=task if isinstance(task, str) else None,
                runtime=runtime,
                keeping=folder.keeping,
            )
        )
    except BaseException:
        signals.end()
        raise
    return Prepared(setup, runtime, folder, differentiator, signals)


def _buffer_policy(given: BufferPolicy | str) -> BufferPolicy:
    try:
        return BufferPolicy(given)
    except ValueError:
        *others, last = BufferPolicy
        near = difflib.get_close_matches(str(given), list(BufferPolicy))
        hint = f"did you mean {' or '.join(near)}?" if near else "take one of them."
        raise ValueError(
            f"Expected buffers {', '.join(others)} or {last}, got {given!r}; {hint}"
        ) from None


def _default_rule(workers: int) -> Rule:
    # A number of workers that is none is refused by the Setup.
    return default_rule(workers if isinstance(workers, int) and workers > 0 else 1)


def _made(kind: str, given: Any) -> Any:
    return specs.parse(kind, given) if isinstance(given, str) else given


@dataclass(frozen=True)
class PreparedReplay:
    """A recorded run whose files have been found sound."""

    setup: Setup
    folder: Path

    def run(self, progress: Callable[[int], None] | None = None) -> Replayed:
        """Recompute it. progress: see `replay`."""
        return runtimes.replay(self.setup, self.folder, progress=progress)


def replay(
    run: Path | str,
    *,
    task: Task | None = None,
    rule: Rule | None = None,
    policy: Policy | None = None,
    delays: Delays | None = None,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Recompute a run from its folder; compare every answer, the parameters and the weights.

    run: the folder. task, rule, policy, delays: of a run that was given objects of the user's own
    instead of what lagrad has names for.
    progress: called with the number of events so far.
    Raises: ValueError before anything is recomputed if the folder is none of a run, or damaged.
    """
    given = {"task": task, "rule": rule, "policy": policy, "delays": delays}
    return prepare_replay(Path(run), **given).run(progress)


def prepare_replay(run: Path, **given: Any) -> PreparedReplay:
    """Check the files that `replay` reads. Arguments and errors as of `replay`."""
    require_files(run, "config.json", "trace.jsonl")
    saved = read_saved(run / "config.json")
    compression = saved.compression
    if compression is not None:
        raise ValueError(
            "Expected a run whose gradients were applied as they were computed, got one with "
            f"compression {compression}, of which nothing records what rounding left; "
            "runs without compression can be replayed."
        )
    if saved.device != "cpu":
        raise ValueError(
            "Expected a run whose gradients were computed on the processor, got one on "
            f"{saved.device}, which gives other bits; `lagrad audit` proves what does not depend "
            "on them."
        )
    setup = read_configuration(run / "config.json", **given)
    _require_trace(run)
    return PreparedReplay(setup, run)


def _require_trace(run: Path) -> None:
    for _ in read_trace(run / "trace.jsonl"):
        pass
