"""What `lagrad run` is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lagrad import specs
from lagrad.chaos import Fault, Moment, Preempt
from lagrad.core import Policy
from lagrad.delays import Delays, Equal
from lagrad.policies import Asynchronous
from lagrad.runtimes import (
    Keeping,
    Until,
    require_faults,
    require_hung_after,
    require_packages,
    require_restarts,
)

#: Of a run whose scripts say when it ends.
ENDLESS = Until(updates=2**62)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What `lagrad run` was asked for.

    script: a path; arguments: its own. workers: how many processes. policy, delays: see `train`.
    rule: a specification that replaces the script's, None: the script's. until: budgets and
    target, None: until the script ends. restarts: of a process that failed, each, after 1 s, 2 s,
    4 s and so on; one that was asked to leave (SIGTERM) has not failed, and is started again after
    a minute, always. hung_after: seconds without a sign of life after which a process is ended,
    once it has made its optimizer; with Ray, what stands for it on its node, too. None: never.
    seconds_per_job: of a healthy job of the delay model, None: as long as the script took.
    chaos: faults that happen on purpose, but for `Preempt`; those with a time are for processes of
    this machine.
    out: a new folder, or None. keeping: checkpoints in `out`, from which the run can go on.
    folder: to start the script in, None: that of this process.
    ray: the address of a Ray cluster whose nodes run the script, which lies there under the same
    path; "local": a cluster of its own; None: this machine without Ray.
    min_workers: with Ray, how many must be there to start and to go on; None: all to start, one to
    go on. Who finds no room waits for it, and whose node is lost comes back on another one.
    gpus: whether Ray gives each process a GPU, or the same part of one where they are more than the
    cluster's GPUs at the start; its script finds it as the only one.
    patience: seconds that Ray, or being fewer than that, may take.
    Raises: ValueError for what does not fit.
    """

    script: Path
    arguments: Sequence[str] = ()
    workers: int = 4
    policy: Policy = field(default_factory=Asynchronous)
    rule: str | None = None
    delays: Delays = Equal()
    until: Until | None = None
    seed: int = 0
    ema: float | None = None
    restarts: int = 0
    hung_after: float | None = 30.0
    seconds_per_job: float | None = None
    chaos: tuple[Fault, ...] = ()
    out: Path | None = None
    keeping: Keeping = Keeping()
    folder: Path | None = None
    ray: str | None = None
    min_workers: int | None = None
    gpus: bool = False
    patience: float = 120.0

    def __post_init__(self) -> None:
        if self.ray is not None:
            require_packages()
        if self.min_workers is not None and (
            self.ray is None or not 1 <= self.min_workers <= self.workers
        ):
            raise ValueError(
                f"Expected min_workers from 1 to {self.workers}, of a run on Ray, got "
                f"{self.min_workers}; leave it out to start when all are there."
            )
        if self.gpus and self.ray is None:
            raise ValueError(
                "Expected gpus=True of a run on Ray alone, got one without; processes of this "
                "machine see all its GPUs, so let the script choose by session.worker."
            )
        if not self.script.is_file():
            raise ValueError(
                f"Expected a Python script, got {self.script}, which is no file; "
                "options of lagrad come before the script, its own after it."
            )
        require_restarts(self.restarts)
        require_hung_after(self.hung_after)
        if self.workers < 1:
            raise ValueError(f"Expected at least 1 worker, got {self.workers}; raise workers.")
        self.policy.require_workers(self.workers)
        require_faults(self.chaos, workers=self.workers)
        asked = [fault for fault in self.chaos if isinstance(fault, Preempt)]
        if asked:
            raise ValueError(
                f"Expected faults that end no script by SIGTERM, got {asked[0]}; a script does not "
                "leave in order, so take kill."
            )
        timed = [fault for fault in self.chaos if isinstance(fault, Moment)]
        if timed and self.ray is not None:
            raise ValueError(
                f"Expected no faults with a time on Ray, got {timed[0]}; they are signals to "
                "processes of this machine: leave --ray out."
            )
        if self.rule is not None:
            specs.parse("rule", self.rule)
