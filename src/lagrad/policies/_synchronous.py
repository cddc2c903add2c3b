"""Wait for every worker; each step is one large batch."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class Synchronous(Named):
    """Wait for every worker; each step is one large batch.

    No gradient is ever late: tau = 0. The slowest worker sets the pace. Known as bulk synchronous
    parallel (BSP), all-reduce training, hardsync.
    """

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=None, max_staleness=0, hold=True)
