"""Step on the first `quorum` workers' gradients, fresh or late; those workers wait."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class KAsync(Named):
    """Step on the first `quorum` workers' gradients, fresh or late; those workers wait.

    quorum: int >= 1, shrinks to the live workers. The others keep running.
    Source: Dutta et al. 2018, arXiv:1803.01113; deviations: none.
    """

    quorum: int = 2

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=self.quorum, hold=True)
