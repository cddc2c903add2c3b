"""Asynchronous, but nobody starts a job while over `bound` pushes ahead of the slowest."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class BoundedStaleness(Named):
    """Asynchronous, but nobody starts a job while over `bound` pushes ahead of the slowest.

    Known as stale synchronous parallel (SSP). bound: int >= 0. With M fixed workers
    tau <= (M - 1)(2 bound + 1); bound 0 is lockstep in clocks, yet tau reaches M - 1.
    Source: Ho et al. 2013 (NIPS); deviation: the bound is asked when a worker pulls, and each push
    is a version of its own.
    """

    bound: int = 3

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=1, bound=self.bound)
