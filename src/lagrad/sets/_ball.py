"""A Euclidean ball."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ball:
    """The vectors within a Euclidean distance of a centre.

        {x: ‖x - c‖ <= radius},     P(x) = c + (x - c) min(1, radius / ‖x - c‖)

    radius: float >= 0, in the units of x. center: float, the same in every coordinate,
    c = center (1, ..., 1).
    Raises: ValueError for a radius that is negative or not finite, or a centre that is not finite.
    Source: elementary.

    >>> x = torch.tensor([3.0, 4.0])
    >>> Ball(radius=1.0).project(x)
    >>> x
    tensor([0.6000, 0.8000])
    """

    radius: float
    center: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.radius < math.inf:
            raise ValueError(
                f"Expected a finite radius >= 0, got {self.radius}; "
                "for no constraint, leave the projection out."
            )
        if not math.isfinite(self.center):
            raise ValueError(f"Expected a finite center, got {self.center}; 0 is the origin.")

    def project(self, x: Tensor) -> None:
        """Pull `x` back along the ray from the centre."""
        offset = x - self.center if self.center else x
        # In float64, for squares of float32 neither overflow nor vanish there.
        distance = torch.linalg.vector_norm(offset, dtype=torch.float64).item()
        if distance > self.radius:
            offset.mul_(self.radius / distance)
            if self.center:
                x.copy_(offset).add_(self.center)
