"""Some workers slower than the rest."""

from collections.abc import Iterator
from dataclasses import dataclass

from ._delays import Delays
from ._factors import Factors
from ._gamma import Gamma


@dataclass(frozen=True)
class Stragglers:
    """Some workers are slower than the rest, all by the same factor.

        duration = factor * duration under `base` for the listed workers

    workers: ints >= 0. factor: float > 0 (6: six times slower). base: any delay model. Two of
    eight six times slower are the default values. For factors that differ: `Factors`.
    Raises: ValueError for a negative worker, a worker listed twice or a factor out of range.
    Source: none needed.

    >>> from lagrad.delays import Equal
    >>> model = Stragglers(workers=(0,), factor=4.0, base=Equal())
    >>> [next(model.stream(worker, seed=0)) for worker in (0, 1)]
    [4.0, 1.0]
    """

    workers: tuple[int, ...] = (0, 1)
    factor: float = 6.0
    base: Delays = Gamma()

    def __post_init__(self) -> None:
        object.__setattr__(self, "workers", tuple(self.workers))  # a list, say from JSON
        self._as_factors()

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The durations under `base`, stretched for stragglers."""
        return self._as_factors().stream(worker, seed)

    def _as_factors(self) -> Factors:
        return Factors(tuple((worker, self.factor) for worker in self.workers), self.base)
