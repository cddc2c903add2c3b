"""Hiccups that can hit any worker."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._delays import Delays, require_delays
from ._draws import endless, generator, require_positive
from ._gamma import Gamma


@dataclass(frozen=True)
class Bursts:
    """Any job of any worker may, now and then, take many times longer.

        duration = factor * duration under `base` with `probability`, else the one under `base`

    probability: float in [0, 1], of each job, independent of all others. factor: float > 0.
    base: any delay model; its draws stay what they are without bursts.
    Mean: (1 + probability (factor - 1)) times that of `base`.
    Raises: ValueError for a probability or factor out of range.
    Source: none needed.

    >>> from lagrad.delays import Equal
    >>> stream = Bursts(probability=1.0, factor=10.0, base=Equal()).stream(worker=0, seed=0)
    >>> next(stream)
    10.0
    """

    probability: float = 0.05
    factor: float = 10.0
    base: Delays = Gamma()

    def __post_init__(self) -> None:
        require_delays(self.base)
        if not 0 <= self.probability <= 1:
            raise ValueError(
                f"Expected a probability in [0, 1], got {self.probability}; write 5 % as 0.05."
            )
        require_positive("factor", self.factor, "a struck job takes that many times as long")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The durations under `base`, stretched at random."""
        # Coins of their own for each level of nesting: independent of the base and of its bursts.
        random = generator(worker, seed, self._depth())
        factors = endless(
            lambda size: np.where(random.random(size) < self.probability, self.factor, 1.0)
        )
        durations = self.base.stream(worker, seed)
        return (factor * duration for factor, duration in zip(factors, durations, strict=False))

    def _depth(self) -> int:
        depth = 0
        model: Any = self
        while (model := getattr(model, "base", None)) is not None:
            depth += 1
        return depth
