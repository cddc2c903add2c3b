"""Random durations, drawn in blocks."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

#: Draws per call of NumPy or SciPy; a call costs as much as tens to hundreds of draws.
BLOCK = 256
#: In the first call of a stream, doubled at each: with many workers most streams stay short.
_FIRST = 8


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


def endless(draw: Callable[[int], NDArray[np.float64]], *, first: int = _FIRST) -> Iterator[float]:
    """The numbers of draw(first), draw(2 first), ... draw(BLOCK), draw(BLOCK), ... one by one.

    first: BLOCK where the numbers depend on how many are drawn at a time.
    """
    size = first
    while True:
        yield from draw(size).tolist()
        size = min(2 * size, BLOCK)


def require_positive(name: str, value: float, advice: str) -> None:
    """Refuse what is not positive and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"Expected a finite {name} > 0, got {value}; {advice}.")
