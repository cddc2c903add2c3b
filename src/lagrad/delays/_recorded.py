"""Job times as they were."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle


@dataclass(frozen=True)
class Recorded:
    """Replay recorded job times, over and over.

    durations: for each worker its job times in order, each > 0; `lagrad.trace.job_durations` reads
    them from a run. Raises: ValueError for a time that is not > 0, or a worker without a record.

    >>> times = Recorded(((1.0, 2.0),)).stream(worker=0, seed=0)
    >>> [next(times) for _ in range(3)]
    [1.0, 2.0, 1.0]
    """

    durations: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        for worker, times in enumerate(self.durations):
            for time in times:
                if not 0 < time < math.inf:
                    raise ValueError(
                        f"Expected finite durations > 0, got {time} for worker {worker}."
                    )

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The worker's record, in a cycle."""
        del seed
        if worker >= len(self.durations) or not self.durations[worker]:
            raise ValueError(
                f"Expected recorded durations for worker {worker}, "
                f"got {len(self.durations)} workers; use fewer workers or a longer record."
            )
        return cycle(self.durations[worker])
