"""When steps are taken and how stale their gradients are, without computing any gradient."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lagrad.core import WINDOW
from lagrad.delays import Delays
from lagrad.policies import Point

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Durations drawn from a stream at a time; drawing costs about 30 ns each.
_BLOCK = 512


class Pointed(Protocol):
    """A policy that is a point of the space of `Point`, as all of lagrad's are."""

    @property
    def point(self) -> Point:
        """Where it lies."""
        ...


@dataclass(frozen=True, eq=False)
class Timing:
    """What came out, one row for each seed.

    times: [seed, step], when each step was taken, in the unit of the delays. taus: [seed, step,
    gradient], the staleness of the gradients in the order of their arrival; -1 where a step took
    fewer. arrivals: [seed], gradients that came until the last step, dropped ones included.
    """

    times: Floats
    taus: NDArray[np.int32]
    arrivals: Ints

    def time_per_step(self, *, skip: int = 0) -> Floats:
        """Mean time of the steps after the first `skip`: [seed]."""
        count = self.times.shape[1]
        if not 0 <= skip < count:
            raise ValueError(
                f"Expected to skip from 0 to {count - 1} steps, got {skip}; "
                "simulate more steps or skip fewer."
            )
        began = self.times[:, skip - 1] if skip else 0.0
        spent: Floats = (self.times[:, -1] - began) / (count - skip)
        return spent

    @property
    def mean_staleness(self) -> Floats:
        """Of the gradients applied: [seed]."""
        applied = self.taus >= 0
        means: Floats = self.taus.sum(axis=(1, 2), where=applied) / applied.sum(axis=(1, 2))
        return means

    @property
    def staleness_counts(self) -> Ints:
        """How many of all applied gradients had tau = 0, 1, 2, ..."""
        counts: Ints = np.bincount(self.taus[self.taus >= 0])
        return counts


def time_steps(
    policy: Pointed | Point,
    delays: Delays,
    *,
    workers: int,
    steps: int,
    seeds: Sequence[int],
    cancel: bool = False,
) -> Timing:
    """Follow workers and steps in virtual time: all seeds at once, arrival by arrival.

    policy: a named policy or a point; one with a bound must not hold, one that asks for fresh
    gradients must have a quorum and hold, one with a deadline must hold, wait for all workers but
    its backups, and drop nothing. delays: of `workers` workers; the same draws as those of
    the simulator, one for each job that is begun. steps: >= 1, of each seed.
    cancel: whether a step ends the jobs that are running, whose workers begin anew at once, as
    K-sync and K-batch-sync were published and no runtime can do.
    Without `cancel`, times and stalenesses are those of `Simulator()`, to the bit. The exception
    are simultaneous arrivals, as `Equal` makes them: here the lowest worker comes first, there the
    job that was begun first. Distributions with a density make none.
    Raises: ValueError for a policy that cannot be followed, or numbers out of range.

    >>> from lagrad.delays import Equal
    >>> from lagrad.policies import Asynchronous
    >>> timing = time_steps(Asynchronous(), Equal(), workers=2, steps=4, seeds=[0])
    >>> timing.times.tolist(), timing.taus[0, :, 0].tolist()
    ([[1.0, 1.0, 2.0, 2.0]], [0, 1, 1, 1])
    """
    point = policy if isinstance(policy, Point) else policy.point
    _require(point, policy, workers=workers, steps=steps, seeds=seeds, cancel=cancel)
    replicas = _Replicas(point, delays, workers=workers, steps=steps, seeds=seeds, cancel=cancel)
    while steps_left := replicas.steps_left():
        for _ in range(steps_left):  # an arrival makes at most one step
            replicas.arrive()
    return replicas.timing()


def _require(
    point: Point,
    policy: object,
    *,
    workers: int,
    steps: int,
    seeds: Sequence[int],
    cancel: bool,
) -> None:
    if workers < 1 or steps < 1 or not len(seeds):
        raise ValueError(
            "Expected at least 1 worker, 1 step and 1 seed, got "
            f"{workers} workers, {steps} steps and {len(seeds)} seeds; ask for more."
        )
    point.require_workers(workers)
    if point.mads is not None and (
        cancel
        or point.fresh
        or not point.hold
        or (point.quorum, point.max_staleness, point.bound) != (None, None, None)
    ):
        raise ValueError(
            f"Expected a policy that waits for all where it has a deadline, and jobs that are not "
            f"cancelled, got {policy}; Deadline does."
        )
    if point.bound is not None and (point.hold or cancel):
        raise ValueError(
            f"Expected a policy that does not hold where it has a bound, and jobs that are not "
            f"cancelled, got {policy}; BoundedStaleness does not hold."
        )
    if point.fresh and (point.quorum is None or not point.hold):
        raise ValueError(
            f"Expected a policy that holds and has a quorum where it asks for fresh gradients, "
            f"got {policy}; KFresh does."
        )


class _Jobs:
    """Durations of the next jobs of every (seed, worker), drawn in blocks."""

    def __init__(self, delays: Delays, *, workers: int, seeds: Sequence[int]) -> None:
        self._streams = [delays.stream(w, int(s)) for s in seeds for w in range(workers)]
        self._table = np.empty((len(self._streams), _BLOCK))
        self._flat = self._table.reshape(-1)
        self._begins = np.arange(len(self._streams)) * _BLOCK
        self._used = np.full(len(self._streams), _BLOCK)
        self._safe = 0

    def expect(self) -> None:
        """Have one more duration for every stream."""
        if not self._safe:
            self._safe = _BLOCK - int(self._used.max())
            if not self._safe:
                self._refill()
        self._safe -= 1

    def _refill(self) -> None:
        for stream, row, used in zip(self._streams, self._table, self._used.tolist(), strict=True):
            row[: _BLOCK - used] = row[used:].copy()
            row[_BLOCK - used :] = np.fromiter(itertools.islice(stream, used), np.float64, used)
        self._used[:] = 0
        self._safe = _BLOCK

    def take(self, streams: Ints) -> Floats:
        """The next duration of each of these different streams."""
        used = self._used[streams]
        self._used[streams] = used + 1
        durations: Floats = self._flat[self._begins[streams] + used]
        return durations


class _Deadlines:
    """When a step is due though not all have delivered: see `Point.next_deadline`.

    begun: when each running job was begun. next: [seed], inf where nothing waits for a step.
    """

    def __init__(self, mads: float, seeds: int, workers: int) -> None:
        self.mads, self.workers = mads, workers
        self.begun = np.zeros(seeds * workers)
        self.next = np.full(seeds, np.inf)
        self._opened = np.zeros(seeds)
        #: The last job times; one more for each seed at each arrival.
        self._window = np.full((seeds, WINDOW), np.inf)
        self._seen = 0

    def passed(self, now: Floats, places: Ints) -> NDArray[np.bool_]:
        """Take in the jobs that are delivered now; whether their step is due by the deadline."""
        self._window[:, self._seen % WINDOW] = now - self.begun[places]
        self._seen += 1
        if self._seen < min(self.workers, WINDOW):
            return np.zeros(len(now), np.bool_)
        median = self._median(self._window)
        spread = self._median(np.abs(self._window - median[:, None]))
        self.next = self._opened + median + self.mads * spread
        due: NDArray[np.bool_] = now >= self.next
        return due

    def _median(self, numbers: Floats) -> Floats:
        known = min(self._seen, WINDOW)
        low, high = (known - 1) // 2, known // 2
        # NumPy sorts with vector instructions, which is several times faster than np.partition.
        ordered = np.sort(numbers, axis=1)
        median: Floats = (ordered[:, low] + ordered[:, high]) / 2
        return median

    def restart(self, stepped: Ints | NDArray[np.bool_], now: Floats) -> None:
        """Nothing waits any more where a step was taken now."""
        self.next[stepped] = np.inf
        self._opened[stepped] = now[stepped]


class _Replicas:
    """All seeds side by side: arrays [seed], or flat [seed * workers + worker]."""

    def __init__(
        self,
        point: Point,
        delays: Delays,
        *,
        workers: int,
        steps: int,
        seeds: Sequence[int],
        cancel: bool,
    ) -> None:
        count = len(seeds)
        self.point, self.workers, self.steps, self.cancel = point, workers, steps, cancel
        self.quorum = point.quorum or max(1, workers - point.backups)
        self.jobs = _Jobs(delays, workers=workers, seeds=seeds)
        self.rows = np.arange(count)
        self.first = self.rows * workers
        self.now = np.zeros(count)
        self.version = np.zeros(count, np.int64)
        #: Gradients that wait for their step, and those of them that count for the quorum.
        self.size = np.zeros(count, np.int64)
        self.counted = np.zeros(count, np.int64)
        #: When each worker delivers (never: it is held), and the version it computes at.
        self.finish = np.full((count, workers), np.inf)
        self.deliveries = self.finish.reshape(-1)
        self.read = np.zeros(count * workers, np.int64)
        #: Gradients that each worker has delivered.
        self.clocks = np.zeros((count, workers), np.int64)
        self.arrivals = np.zeros(count, np.int64)
        # A seed that is done goes on, so that all keep step, and writes beyond its last step.
        self.width = workers if point.fresh else self.quorum
        self.times = np.empty((count, steps + 1))
        self.taus = np.full((count, steps + 1, self.width), -1, np.int32)
        self.deadlines = None if point.mads is None else _Deadlines(point.mads, count, workers)
        self.jobs.expect()
        self.begin(np.arange(count * workers))

    def steps_left(self) -> int:
        """Of the seed that has taken the fewest."""
        return max(0, self.steps - int(self.version.min()))

    def begin(self, places: Ints) -> None:
        """Workers read the newest parameters and begin a job now."""
        rows = places // self.workers
        self.deliveries[places] = self.now[rows] + self.jobs.take(places)
        self.read[places] = self.version[rows]
        if self.deadlines is not None:
            self.deadlines.begun[places] = self.now[rows]

    def arrive(self) -> None:
        """In every replica the next gradient comes; a step if it is due; who may go on does."""
        point = self.point
        if self.deadlines is not None:
            self.tick(self.deadlines)
        self.jobs.expect()
        places = self.first + self.finish.argmin(axis=1)
        self.now = self.deliveries[places]
        step = np.minimum(self.version, self.steps)
        self.arrivals += step < self.steps
        tau = self.version - self.read[places]
        kept = None if point.max_staleness is None else tau <= point.max_staleness
        # What is no step's last gradient, or was dropped, is written over by the next one.
        written = self.rows * (self.steps + 1) + step
        self.times.reshape(-1)[written] = self.now
        self.taus.reshape(-1)[written * self.width + self.size] = tau
        self.size += 1 if kept is None else kept
        if point.fresh:
            self.counted += tau == 0
            due = (self.counted >= self.quorum) | (self.size == self.workers)
        else:
            due = self.size >= self.quorum
        if self.deadlines is not None:
            due |= self.deadlines.passed(self.now, places)
            self.deadlines.restart(due, self.now)
        self.version += due
        self.size[due] = 0
        self.counted[due] = 0
        if point.bound is not None:
            self.deliveries[places] = np.inf
            self.clocks.reshape(-1)[places] += 1
            near = self.clocks <= self.clocks.min(axis=1, keepdims=True) + point.bound
            self.begin(np.flatnonzero(np.isinf(self.finish) & near))
            return
        if not (point.hold or self.cancel):
            self.begin(places)
            return
        if point.hold:
            self.deliveries[places] = np.inf
            alone = np.zeros_like(due) if kept is None else ~(due | kept)
        else:
            alone = ~due
        self.begin(np.concatenate((places[alone], self.released(np.flatnonzero(due)))))

    def released(self, rows: Ints) -> Ints:
        """The workers that begin anew after a step: those that are held, or all."""
        places: Ints = (self.first[rows, None] + np.arange(self.workers)).reshape(-1)
        return places if self.cancel else places[np.isinf(self.deliveries[places])]

    def tick(self, deadlines: _Deadlines) -> None:
        """A step, of what is there, where the deadline comes before the next gradient."""
        rows = np.flatnonzero(deadlines.next < self.finish.min(axis=1))
        if not len(rows):
            return
        self.jobs.expect()
        self.now[rows] = deadlines.next[rows]
        self.times[rows, np.minimum(self.version[rows], self.steps)] = self.now[rows]
        self.version[rows] += 1
        self.size[rows] = 0
        deadlines.restart(rows, self.now)
        self.begin(self.released(rows))

    def timing(self) -> Timing:
        """The books, closed."""
        return Timing(self.times[:, :-1], self.taus[:, :-1], self.arrivals)
