"""The contract of a set."""

from typing import Protocol

from torch import Tensor


class ConvexSet(Protocol):
    """A closed convex set of vectors, known by its Euclidean projection.

    x: [P], P >= 1, of a floating dtype, on any device, finite.
    """

    def project(self, x: Tensor) -> None:
        """Move `x`, in place, to the nearest point of the set; a point of the set stays."""
        ...
