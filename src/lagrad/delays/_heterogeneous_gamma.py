"""Machines that differ, with jobs that vary a little."""

from collections.abc import Iterator
from dataclasses import dataclass

from ._draws import endless, generator, require_positive


@dataclass(frozen=True)
class HeterogeneousGamma:
    """Machines that differ: each has its own mean, around which its jobs vary.

        q ~ Gamma(1/M^2, scale M^2) once per worker,     mean 1, standard deviation M
        duration ~ Gamma(1/T^2, scale q T^2),            mean q, standard deviation q T

    machine_variation, task_variation: M and T, float > 0, coefficients of variation.
    P(duration > 1.25) = 28.1 % over machines and jobs with the default values.
    Unit: the mean job of the mean worker.
    Raises: ValueError for a variation that is not positive and finite.
    Source: the heterogeneous model of Hakimi, Barkai, Gabel, Schuster 2019, arXiv:1907.11612
    (DANA), after Ali et al. 2000; the equations are second hand, checked by the probability above
    (27.9 % in their text).

    >>> model = HeterogeneousGamma()
    >>> next(model.stream(worker=0, seed=0)) == next(model.stream(worker=0, seed=0))
    True
    """

    machine_variation: float = 0.6
    task_variation: float = 0.1

    def __post_init__(self) -> None:
        require_positive(
            "machine_variation", self.machine_variation, "for machines alike use Gamma"
        )
        require_positive("task_variation", self.task_variation, "for equal jobs use Factors")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """Independent draws around the worker's own mean."""
        random = generator(worker, seed)
        spread = self.machine_variation**2
        mean = random.gamma(1.0 / spread, spread)
        shape = self.task_variation**-2
        return endless(lambda size: random.gamma(shape, mean / shape, size))
