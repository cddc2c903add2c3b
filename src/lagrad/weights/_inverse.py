"""The inverse of the age."""

import math
from dataclasses import dataclass

from ._age import require_age


@dataclass(frozen=True)
class Inverse:
    """A gradient's weight is the inverse of its delay, and never more than 1.

        w(k) = 1 if k <= full, else min(1, scale / (k + offset))

    k: int >= 0, versions. scale: float > 0, versions. offset: int >= 0, versions. full: int >= 0,
    the last age of full weight whatever the inverse says.
    scale = 1: 1 / (1 + k). scale = number of workers: the delay-adaptive step. offset = 0:
    1 / max(1, k), a gradient one version late still counts in full.
    Returns: float in (0, 1], w(0) = 1.
    Raises: ValueError for numbers out of range, or k < 0.
    Source: Mishchenko, Bach, Even, Woodworth 2022, arXiv:2206.07638, whose tau counts the
    gradient's own update, so that it is k + 1; offset 0: Zhang, Gupta, Lian, Liu 2015,
    arXiv:1511.05950; full = concurrency, scale = 1/(4 L eta), offset 0: Koloskova, Stich, Jaggi
    2022, arXiv:2206.08307.

    >>> [Inverse(scale=4.0)(k) for k in (0, 3, 7)]
    [1.0, 1.0, 0.5]
    >>> [Inverse(offset=0)(k) for k in (0, 1, 2)]
    [1.0, 1.0, 0.5]
    """

    scale: float = 1.0
    offset: int = 1
    full: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(
                f"Expected a finite scale > 0, got {self.scale}; use 1 or the number of workers."
            )
        if self.offset < 0 or self.full < 0:
            raise ValueError(
                f"Expected offset and full >= 0 versions, got {self.offset} and {self.full}; "
                "leave them out for 1 / (1 + k)."
            )

    def __call__(self, k: int) -> float:
        """The weight at k."""
        require_age(k)
        return 1.0 if k <= self.full else min(1.0, self.scale / (k + self.offset))
