"""The contract of a set."""

from typing import Protocol

from torch import Tensor


class ConvexSet(Protocol):
    """A closed convex set onto which a vector can be projected exactly."""

    def project(self, x: Tensor) -> None:
        """Move `x` [P], in place, to the nearest point of the set."""
        ...
