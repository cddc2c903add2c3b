"""A least time and a memoryless rest."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ._draws import endless, generator, require_positive


@dataclass(frozen=True)
class ShiftedExponential:
    """Every job takes a least time, and then an exponential one.

        duration = shift + Exp(mean),     mean shift + mean

    shift: float >= 0 (0: memoryless jobs). mean: float > 0, of the exponential part alone.
    Unit: the paper's; the mean job of the default model is 2 of it.
    Raises: ValueError for numbers out of these ranges.
    Source: Dutta, Joshi, Ghosh, Dube, Nagpurkar 2018, arXiv:1803.01113: exp(1) and 1 + exp(1).

    >>> next(ShiftedExponential(shift=1.0).stream(worker=0, seed=0)) >= 1
    True
    """

    shift: float = 1.0
    mean: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.shift < math.inf:
            raise ValueError(
                f"Expected a finite shift >= 0, got {self.shift}; use 0 for memoryless jobs."
            )
        require_positive("mean", self.mean, "for jobs that do not vary, use Equal()")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """Independent draws."""
        random = generator(worker, seed)
        return endless(lambda size: self.shift + random.exponential(self.mean, size))
