"""A slow machine."""

from dataclasses import dataclass
from typing import ClassVar

from ._fault import Fault, require_positive, require_worker


@dataclass(frozen=True)
class Slow(Fault):
    """All jobs of a worker take `factor` times as long as the delay model says.

    worker: which. factor: > 0. It has happened when the worker is sent its first job.

    >>> Slow(3, factor=5.0)
    Slow(worker=3, factor=5.0)
    """

    kind: ClassVar[str] = "slow"

    worker: int
    factor: float = 2.0

    def __post_init__(self) -> None:
        require_worker(self.worker)
        require_positive("factor", self.factor, "a job takes that many times as long")
