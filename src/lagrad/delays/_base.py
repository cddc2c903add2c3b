"""The contract of a delay model, and streams of draws."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_BLOCK = 256


class Delays(Protocol):
    """How long each worker's jobs take, in units of a healthy worker's mean job.

    A runtime turns the units into seconds. Equal arguments give equal streams.
    """

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The endless sequence of the job times of `worker`, each > 0."""
        ...


def generator(worker: int, seed: int, *, purpose: int = 0) -> np.random.Generator:
    """A generator that is a function of its arguments alone and independent between workers.

    purpose: tells apart the uses of one worker, as a wrapper's draws from its base's.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(worker, purpose)))


def blocks(draw: Callable[[int], NDArray[np.float64]]) -> Iterator[float]:
    """Endless numbers from a function that draws many at once."""
    while True:
        yield from draw(_BLOCK).tolist()
