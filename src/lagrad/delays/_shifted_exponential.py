"""Exponential job times with a minimum."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ._base import blocks, generator


@dataclass(frozen=True)
class ShiftedExponential:
    """A fixed part and an exponential part.

        T = shift + Exp(mean)

    shift: float >= 0 (0: exponential job times). mean: of the exponential part, float > 0.
    Raises: ValueError otherwise.
    Source: Dutta, Joshi, Ghosh, Dube, Nagpurkar 2018, arXiv:1803.01113.

    >>> next(ShiftedExponential().stream(worker=0, seed=0)) > 1
    True
    """

    shift: float = 1.0
    mean: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.shift < math.inf:
            raise ValueError(f"Expected a finite shift >= 0, got {self.shift}.")
        if not 0 < self.mean < math.inf:
            raise ValueError(f"Expected a finite mean > 0, got {self.mean}.")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """Independent draws."""
        random = generator(worker, seed)
        return blocks(lambda count: self.shift + random.exponential(self.mean, count))
