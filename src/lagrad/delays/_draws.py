"""Random durations, drawn in blocks."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

#: Draws per call of NumPy or SciPy; a call costs as much as tens to hundreds of draws.
BLOCK = 256


def generator(worker: int, seed: int, *purpose: int) -> np.random.Generator:
    """The random numbers of one worker; another purpose, other and independent numbers."""
    require_counted(worker, seed)
    sequence = np.random.SeedSequence(seed, spawn_key=(worker, *purpose))
    return np.random.default_rng(sequence)


def require_counted(worker: int, seed: int) -> None:
    """Refuse a negative worker or seed."""
    if worker < 0 or seed < 0:
        raise ValueError(
            f"Expected a worker and a seed >= 0, got worker {worker} and seed {seed}; "
            "workers are counted from 0."
        )


def endless(draw: Callable[[int], NDArray[np.float64]]) -> Iterator[float]:
    """The numbers of draw(BLOCK), draw(BLOCK), ... one by one."""
    while True:
        yield from draw(BLOCK).tolist()


def require_positive(name: str, value: float, advice: str) -> None:
    """Refuse what is not positive and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"Expected a finite {name} > 0, got {value}; {advice}.")
