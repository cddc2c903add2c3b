"""Jobs that take long now and then, on any worker."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ._base import Delays, blocks, generator
from ._gamma import Gamma


@dataclass(frozen=True)
class Bursts:
    """Each job is, with a probability, longer by a factor.

    probability: in [0, 1]. factor: float > 0. base: the delays of an ordinary job.
    Raises: ValueError otherwise.
    Source: 5 % of the jobs ten times longer is the model of lagrad's own races.

    >>> from lagrad.delays import Equal
    >>> next(Bursts(probability=1.0, base=Equal()).stream(worker=0, seed=0))
    10.0
    """

    probability: float = 0.05
    factor: float = 10.0
    base: Delays = Gamma()

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"Expected a probability in [0, 1], got {self.probability}.")
        if not 0 < self.factor < math.inf:
            raise ValueError(f"Expected a finite factor > 0, got {self.factor}.")

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The base model's times, some of them stretched."""
        random = generator(worker, seed, purpose=1)
        luck = blocks(random.random)
        for time, draw in zip(self.base.stream(worker, seed), luck, strict=False):
            yield time * self.factor if draw < self.probability else time
