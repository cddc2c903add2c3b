"""Step on every gradient as it comes; nobody waits, nothing is dropped."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class Asynchronous(Named):
    """Step on every gradient as it comes; nobody waits, nothing is dropped.

    N equal workers see a staleness of N - 1 on average.
    Source: Dean et al. 2012 (Downpour SGD); deviations: none.
    """

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=1)

    @property
    def exchanges(self) -> bool:
        """Whether every push is a step and every pull is answered; see `lagrad.core.Server`.

        Not where a class that is made from this one may answer otherwise.
        """
        return type(self) is Asynchronous
