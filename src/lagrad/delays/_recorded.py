"""Durations that were measured."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from ._draws import require_counted


@dataclass(frozen=True)
class Recorded:
    """Recorded durations, replayed in a cycle.

        duration of job j of worker i = durations[i][j mod len(durations[i])]

    durations: one non-empty tuple per worker, floats > 0, in units of the mean job of a healthy
    worker. The seed has no say. `recorded:RUN`, to the command and to `train`, takes those of a run
    in seconds: as they were with seconds_per_job 1, which is what the simulator does unasked.
    Raises: ValueError for an empty record, a duration that is not positive and finite, or, from
    `stream`, a worker without a record.
    Source: none needed.

    >>> stream = Recorded(durations=((1.0, 2.0), (3.0,))).stream(worker=0, seed=0)
    >>> [next(stream) for _ in range(3)]
    [1.0, 2.0, 1.0]
    """

    durations: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        records = tuple(tuple(record) for record in self.durations)
        object.__setattr__(self, "durations", records)  # lists, say from JSON
        if not records:
            raise ValueError("Expected one record per worker, got none; give at least one.")
        for worker, record in enumerate(records):
            if not record:
                raise ValueError(f"Expected durations of worker {worker}, got (); leave no gap.")
            wrong = [duration for duration in record if not 0 < duration < math.inf]
            if wrong:
                raise ValueError(
                    f"Expected finite durations > 0, got {wrong[0]} for worker {worker}; "
                    "leave out jobs that did not end."
                )

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The record of `worker`, over and over."""
        require_counted(worker, seed)
        if worker >= len(self.durations):
            raise ValueError(
                f"Expected a worker from 0 to {len(self.durations) - 1}, got {worker}; "
                "record its durations too, or run fewer workers."
            )
        return itertools.cycle(self.durations[worker])
