"""Workers with a speed of their own."""

from collections.abc import Iterator
from dataclasses import dataclass

from ._delays import Delays, require_delays
from ._draws import require_positive
from ._equal import Equal


@dataclass(frozen=True)
class Factors:
    """Listed workers take longer, each by its own factor.

        duration = factor of the worker (1 where none is listed) * duration under `base`

    factors: pairs (worker, factor), worker int >= 0, factor float > 0 (6: six times slower, 0.5:
    twice as fast). base: any delay model. `--slow 0:6` of the command is ((0, 6.0),).
    Raises: ValueError for a negative worker, a worker listed twice or a factor out of range.
    Source: none needed.

    >>> model = Factors(factors=((1, 6.0),))
    >>> [next(model.stream(worker, seed=0)) for worker in (0, 1)]
    [1.0, 6.0]
    """

    factors: tuple[tuple[int, float], ...]
    base: Delays = Equal()

    def __post_init__(self) -> None:
        require_delays(self.base)
        pairs = tuple((worker, factor) for worker, factor in self.factors)
        object.__setattr__(self, "factors", pairs)  # lists, say from JSON
        for worker, factor in pairs:
            if worker < 0:
                raise ValueError(f"Expected workers >= 0, got {worker}; they are counted from 0.")
            require_positive("factor", factor, f"worker {worker} takes that many times as long")
        if len(dict(pairs)) < len(pairs):
            raise ValueError(
                f"Expected each worker once, got {[worker for worker, _ in pairs]}; "
                "multiply the factors of a worker that is listed twice."
            )

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The durations under `base`, stretched."""
        durations = self.base.stream(worker, seed)
        factor = dict(self.factors).get(worker, 1.0)
        return durations if factor == 1.0 else (factor * duration for duration in durations)
