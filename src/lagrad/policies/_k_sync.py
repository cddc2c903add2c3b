"""Step on the first `quorum` workers' fresh gradients; late ones are dropped."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class KSync(Named):
    """Step on the first `quorum` workers' fresh gradients; late ones are dropped.

    quorum: int >= 1, shrinks to the live workers.
    Source: Dutta, Joshi, Ghosh, Dube, Nagpurkar 2018, arXiv:1803.01113. Deviation: the rest are
    not cancelled, they finish their job and their gradient is dropped.
    """

    quorum: int = 2

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=self.quorum, max_staleness=0, hold=True)
