"""Heavy-tailed job times."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ._base import blocks, generator


@dataclass(frozen=True)
class Pareto:
    """Heavy-tailed job times: rarely, a job takes very long.

        P(T > t) = (minimum / t)^shape for t >= minimum

    shape: float > 0 (the mean is shape minimum / (shape - 1), infinite for shape <= 1).
    minimum: float > 0. Raises: ValueError otherwise.
    Source: Dutta, Joshi, Ghosh, Dube, Nagpurkar 2018, arXiv:1803.01113: shape 2, minimum 1.

    >>> next(Pareto().stream(worker=0, seed=0)) >= 1
    True
    """

    shape: float = 2.0
    minimum: float = 1.0

    def __post_init__(self) -> None:
        for name in ("shape", "minimum"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"Expected a finite {name} > 0, got {getattr(self, name)}.")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """Independent draws."""
        random = generator(worker, seed)
        return blocks(lambda count: self.minimum * (1.0 + random.pareto(self.shape, count)))
