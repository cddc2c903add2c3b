"""Half a cosine."""

import math
from dataclasses import dataclass

from ._rate import require_rate, require_updates


@dataclass(frozen=True)
class Cosine:
    """A learning rate that falls along half a cosine and then stays.

        eta(v) = floor + (lr - floor) (1 + cos(pi v / updates)) / 2 if v < updates, else floor

    lr: float >= 0, finite, the rate at version 0. updates: int >= 1, server updates. floor: float
    in [0, lr], the rate from version `updates` on.
    Raises: ValueError for numbers out of these ranges.
    Source: Loshchilov, Hutter 2017, arXiv:1608.03983; deviation: no restarts.

    >>> schedule = Cosine(lr=1.0, updates=100, floor=0.2)
    >>> [round(schedule(version), 12) for version in (0, 50, 100, 1000)]
    [1.0, 0.6, 0.2, 0.2]
    """

    lr: float
    updates: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        require_rate("lr", self.lr)
        require_updates(self.updates)
        if not 0 <= self.floor <= self.lr:
            raise ValueError(
                f"Expected a floor in [0, lr] = [0, {self.lr}], got {self.floor}; "
                "the rate falls from lr to the floor."
            )

    def __call__(self, version: int) -> float:
        """The rate at `version`."""
        if version >= self.updates:
            return self.floor
        share = (1.0 + math.cos(math.pi * version / self.updates)) / 2.0
        return self.floor + (self.lr - self.floor) * share
