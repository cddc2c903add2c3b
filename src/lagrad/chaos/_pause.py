"""A hang."""

from dataclasses import dataclass
from typing import ClassVar

from ._fault import Moment, require_positive


@dataclass(frozen=True)
class Pause(Moment):
    """A worker stands still (SIGSTOP) for a while, then goes on where it was (SIGCONT).

    worker, at: see `Moment`. seconds: on the run's clock, > 0; `for=5s` on the command line.

    >>> Pause(1, at=2.0, seconds=5.0)
    Pause(worker=1, at=2.0, seconds=5.0)
    """

    kind: ClassVar[str] = "pause"

    seconds: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("seconds", self.seconds, "say for how long")
