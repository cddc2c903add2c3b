"""Machines alike, with jobs that vary a little."""

from collections.abc import Iterator
from dataclasses import dataclass

from ._draws import endless, generator, require_positive


@dataclass(frozen=True)
class Gamma:
    """Machines alike: every job's duration is drawn from one gamma distribution of mean 1.

        duration ~ Gamma(shape, scale 1/shape),     mean 1, variance 1/shape

    shape: float > 0 (100: a coefficient of variation of 0.1). P(duration > 1.25) = 0.94 % at 100.
    Unit: the mean job of a healthy worker.
    Raises: ValueError for a shape that is not positive and finite.
    Source: the homogeneous model of Hakimi, Barkai, Gabel, Schuster 2019, arXiv:1907.11612 (DANA),
    after Ali et al. 2000; shape 100 as in the code of the same group (SMEGA2). Their batch size is
    a factor there, and 1 here.

    >>> stream = Gamma().stream(worker=0, seed=0)
    >>> 0.5 < next(stream) < 2
    True
    """

    shape: float = 100.0

    def __post_init__(self) -> None:
        require_positive("shape", self.shape, "for jobs that do not vary, use Equal()")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """Independent draws."""
        random = generator(worker, seed)
        return endless(lambda size: random.gamma(self.shape, 1.0 / self.shape, size))
