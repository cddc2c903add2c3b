"""What `lagrad run` is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lagrad import specs
from lagrad.core import Policy
from lagrad.delays import Delays, Equal
from lagrad.policies import Asynchronous
from lagrad.runtimes import Until, require_packages


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What `lagrad run` was asked for.

    script: a path; arguments: its own. workers: how many processes. policy, delays: see `train`.
    rule: a specification that replaces the script's, None: the script's. until: budgets and
    target, None: until the script ends. restarts: of a process that failed, each.
    seconds_per_job: of a healthy job of the delay model, None: as long as the script took.
    out: a new folder, or None. ray: the address of a Ray cluster whose nodes run the script, which
    lies there under the same path; "local": a cluster of its own; None: this machine without Ray.
    min_workers: with Ray, how many must be there to start and to go on; None: all to start, one to
    go on. Who finds no room waits for it, and whose node is lost comes back on another one.
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
    seconds_per_job: float | None = None
    out: Path | None = None
    ray: str | None = None
    min_workers: int | None = None
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
        if not self.script.is_file():
            raise ValueError(
                f"Expected a Python script, got {self.script}, which is no file; "
                "options of lagrad come before the script, its own after it."
            )
        if self.restarts < 0:
            raise ValueError(f"Expected restarts >= 0, got {self.restarts}; use 0 for none.")
        if self.workers < 1:
            raise ValueError(f"Expected at least 1 worker, got {self.workers}; raise workers.")
        self.policy.require_workers(self.workers)
        if self.rule is not None:
            specs.parse("rule", self.rule)
