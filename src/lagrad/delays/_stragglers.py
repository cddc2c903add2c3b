"""Workers that are slower than the others."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ._base import Delays
from ._equal import Equal
from ._gamma import Gamma


@dataclass(frozen=True)
class Factors:
    """Each listed worker takes `factor` times as long as in the base model.

    factors: (worker, factor) pairs, factor > 0; workers not listed have factor 1.
    base: the delays that are stretched. Raises: ValueError for a factor that is not > 0, a
    negative worker or one that is listed twice.

    >>> next(Factors(((0, 6.0),)).stream(worker=0, seed=0))
    6.0
    """

    factors: tuple[tuple[int, float], ...]
    base: Delays = Equal()

    def __post_init__(self) -> None:
        for worker, factor in self.factors:
            if worker < 0 or not 0 < factor < math.inf:
                raise ValueError(f"Expected worker >= 0 and factor > 0, got {worker}:{factor}.")
        if len(dict(self.factors)) < len(self.factors):
            raise ValueError(f"Expected each worker once, got {self.factors}.")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The base model's times, stretched."""
        factor = dict(self.factors).get(worker, 1.0)
        return (factor * time for time in self.base.stream(worker, seed))


@dataclass(frozen=True)
class Stragglers:
    """The listed workers are slower than the others by one factor.

    workers: their numbers. factor: float > 0. base: the delays of a healthy worker.
    Raises: ValueError as `Factors` does.
    Source: two of eight workers six times slower is the model of lagrad's own races.

    >>> slow, healthy = (Stragglers(base=Equal()).stream(worker=i, seed=0) for i in (1, 2))
    >>> next(slow), next(healthy)
    (6.0, 1.0)
    """

    workers: tuple[int, ...] = (0, 1)
    factor: float = 6.0
    base: Delays = Gamma()

    def __post_init__(self) -> None:
        self._factors()

    def _factors(self) -> Factors:
        return Factors(tuple((worker, self.factor) for worker in self.workers), self.base)

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The base model's times, stretched for the listed workers."""
        return self._factors().stream(worker, seed)
