"""Gamma-distributed job times."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ._base import blocks, generator


@dataclass(frozen=True)
class Gamma:
    """Equal machines with gamma-distributed job times of mean 1.

        T ~ Gamma(shape, 1/shape), coefficient of variation shape^(-1/2)

    shape: float > 0. Raises: ValueError otherwise.
    Source: Hakimi, Barkai, Gabel, Schuster 2019, arXiv:1907.11612, homogeneous, as in the code of
    the same group: shape 100.

    >>> 0.5 < next(Gamma().stream(worker=0, seed=0)) < 1.5
    True
    """

    shape: float = 100.0

    def __post_init__(self) -> None:
        if not 0 < self.shape < math.inf:
            raise ValueError(f"Expected a finite shape > 0, got {self.shape}.")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """Independent draws."""
        random = generator(worker, seed)
        return blocks(lambda count: random.gamma(self.shape, 1.0 / self.shape, count))


@dataclass(frozen=True)
class HeterogeneousGamma:
    """Machines of gamma-distributed speed with gamma-distributed job times of overall mean 1.

        q_i ~ Gamma(1/V^2, V^2) once per machine,   T ~ Gamma(1/v^2, q_i v^2) for each job

    machine_variation: V > 0. task_variation: v > 0, coefficients of variation.
    Raises: ValueError otherwise.
    Source: Ali et al. 2000, as used by Hakimi et al. 2019, arXiv:1907.11612 (from memory): V = 0.6,
    v = 0.1.

    >>> next(HeterogeneousGamma().stream(worker=0, seed=0)) > 0
    True
    """

    machine_variation: float = 0.6
    task_variation: float = 0.1

    def __post_init__(self) -> None:
        for name in ("machine_variation", "task_variation"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"Expected a finite {name} > 0, got {getattr(self, name)}.")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The machine's mean is drawn first, then its jobs."""
        random = generator(worker, seed)
        machine, task = self.machine_variation**2, self.task_variation**2
        mean = random.gamma(1.0 / machine, machine)
        return blocks(lambda count: random.gamma(1.0 / task, mean * task, count))
