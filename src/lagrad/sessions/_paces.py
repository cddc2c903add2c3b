"""How many local steps each worker takes before it hands in."""

from math import ceil, inf

from lagrad.core import Lease

from ._messages import Begun


class Paces:
    """The same number for all, or fewer for the slower ones, so that all hand in equally often.

        H_i = max(1, floor(H v_i / max_j v_j))      v: local steps per second, in the last job

    begun: H, whether by speed, and the samples of H steps. Source: DyLU of Liu et al. 2024,
    arXiv:2401.09135; the speeds are measured, those of the authors were given.

    >>> paces = Paces(Begun(num_samples=None, batch_size=1, steps=8, by_speed=True))
    >>> lease = Lease(number=0, epoch=0, start=0, stop=1)
    >>> for worker, seconds in ((0, 4.0), (1, 1.0)):
    ...     _ = paces.sent(worker, lease, now=0.0)
    ...     paces.delivered(worker, now=seconds)
    >>> paces.steps(0), paces.steps(1)
    (2, 8)
    """

    def __init__(self, begun: Begun) -> None:
        self._begun = begun
        self._per_step = begun.batch_size // begun.steps
        self._jobs: dict[int, tuple[int, float]] = {}
        self._speeds: dict[int, float] = {}

    def sent(self, worker: int, lease: Lease, *, now: float) -> int:
        """A job begins; how many steps it has."""
        steps = self.steps(worker)
        if self._begun.num_samples is not None:  # a lease that came back may be another's
            steps = ceil(lease.samples / self._per_step)
        self._jobs[worker] = (steps, now)
        return steps

    def delivered(self, worker: int, *, now: float) -> None:
        """The job has been done."""
        steps, began = self._jobs.pop(worker)
        self._speeds[worker] = steps / (now - began) if now > began else inf

    def left(self, worker: int) -> None:
        """The worker is gone; another one in its place is measured anew."""
        self._speeds.pop(worker, None)

    def steps(self, worker: int) -> int:
        """Of the worker's next job; of one that is not known yet, those of the fastest."""
        most = self._begun.steps
        own, fastest = self._speeds.get(worker), max(self._speeds.values(), default=inf)
        if not self._begun.by_speed or own is None or own == fastest:
            return most
        return max(1, int(most * own / fastest))

    def batch_size(self, worker: int) -> int | None:
        """How many samples the worker asks for; None: as many as everybody."""
        return self._per_step * self.steps(worker) if self._begun.by_speed else None
