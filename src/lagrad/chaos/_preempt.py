"""A worker whose machine is wanted back."""

from dataclasses import dataclass
from typing import ClassVar

from ._fault import Moment


@dataclass(frozen=True)
class Preempt(Moment):
    """A worker is asked to end (SIGTERM) and leaves in order; its place is empty for a minute.

    worker, at: see `Moment`. It counts as no failure and needs no restart.

    >>> Preempt(1, at=5.0)
    Preempt(worker=1, at=5.0)
    """

    kind: ClassVar[str] = "preempt"
