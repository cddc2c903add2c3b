"""Step on any `quorum` gradients, fresh or late; nobody waits."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class KBatchAsync(Named):
    """Step on any `quorum` gradients, fresh or late; nobody waits.

    Known as n-softsync with n = workers / quorum (Zhang, Gupta, Lian, Liu 2015, arXiv:1511.05950)
    and as buffered asynchronous aggregation (FedBuff). quorum: int >= 1, may exceed the workers.
    Source: Dutta et al. 2018, arXiv:1803.01113; deviations: none.
    """

    quorum: int = 4

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=self.quorum)
