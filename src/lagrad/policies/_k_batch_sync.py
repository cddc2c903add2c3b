"""Step on the first `quorum` fresh gradients from anyone; nobody waits."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class KBatchSync(Named):
    """Step on the first `quorum` fresh gradients from anyone; nobody waits.

    A worker that has delivered reads the same parameters again and goes on with other samples; late
    gradients are dropped. Known as Rennala SGD. quorum: int >= 1, may exceed the workers.
    Source: Dutta et al. 2018, arXiv:1803.01113; Tyurin, Richtarik 2023, arXiv:2305.12387;
    deviations: none.
    """

    quorum: int = 4

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=self.quorum, max_staleness=0)
