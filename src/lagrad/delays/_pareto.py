"""A heavy tail."""

from collections.abc import Iterator
from dataclasses import dataclass

from ._draws import endless, generator, require_positive


@dataclass(frozen=True)
class Pareto:
    """Jobs with a heavy tail: a few take very much longer than most.

        P(duration > x) = (minimum / x)^shape for x >= minimum,
        mean shape minimum / (shape - 1) for shape > 1, infinite otherwise

    shape: float > 0 (the variance is infinite up to 2). minimum: float > 0, the shortest job.
    Unit: the paper's; the mean job of the default model is 2 of it.
    Raises: ValueError for a shape or minimum that is not positive and finite.
    Source: Dutta, Joshi, Ghosh, Dube, Nagpurkar 2018, arXiv:1803.01113: Pareto(2, 1).

    >>> next(Pareto(minimum=1.0).stream(worker=0, seed=0)) >= 1
    True
    """

    shape: float = 2.0
    minimum: float = 1.0

    def __post_init__(self) -> None:
        require_positive("shape", self.shape, "smaller values mean a heavier tail")
        require_positive("minimum", self.minimum, "it is the duration of the shortest job")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """Independent draws."""
        random = generator(worker, seed)
        # NumPy's pareto is Lomax: the distribution of duration / minimum - 1.
        return endless(lambda size: self.minimum * (1.0 + random.pareto(self.shape, size)))
