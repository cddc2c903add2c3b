"""The inverse of the age."""

import math
from dataclasses import dataclass

from ._age import require_age


@dataclass(frozen=True)
class Inverse:
    """A gradient's weight is the inverse of its delay, and never more than 1.

        w(k) = min(1, scale / (k + 1))

    k: int >= 0, versions. scale: float >= 1, versions; delays up to `scale` count in full.
    scale = 1: 1 / (1 + k). scale = number of workers: the delay-adaptive step.
    Returns: float in (0, 1], w(0) = 1.
    Raises: ValueError for a scale below 1 or not finite, or k < 0.
    Source: Mishchenko, Bach, Even, Woodworth 2022, arXiv:2206.07638; their tau counts the
    gradient's own update, so that their tau is k + 1.

    >>> [Inverse(scale=4.0)(k) for k in (0, 3, 7)]
    [1.0, 1.0, 0.5]
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.scale < math.inf:
            raise ValueError(
                f"Expected a finite scale >= 1, got {self.scale}; "
                "use 1 or the number of workers, so that a fresh gradient counts in full."
            )

    def __call__(self, k: int) -> float:
        """The weight at k."""
        require_age(k)
        return min(1.0, self.scale / (k + 1))
