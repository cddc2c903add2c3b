"""No randomness at all."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from ._draws import require_counted


@dataclass(frozen=True)
class Equal:
    """Every job takes the same time.

        duration = 1

    Unit: the mean job of a healthy worker.
    Raises: nothing.
    Source: the constant delays of Chen et al. 2016 and others; N workers give tau = N - 1.

    >>> next(Equal().stream(worker=0, seed=0))
    1.0
    """

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """1, 1, 1, ..."""
        require_counted(worker, seed)
        return itertools.repeat(1.0)
