"""The small space in which the known policies are points."""

import abc
from dataclasses import dataclass

from lagrad.core import WINDOW, Ledger, Push


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point: a quorum, a limit on staleness, who waits, and until when.

    quorum: gradients that make a step; None: as many as workers take part, less `backups`, and at
    least 1.
    fresh: whether gradients with tau = 0 alone count for the quorum; the others join the step.
    max_staleness: gradients with a larger tau are dropped; None: none is dropped.
    hold: whether a worker waits for the step that its gradient is in. A quorum then shrinks to
    what the live workers can still bring.
    bound: a worker more than this many pushes ahead of the slowest is held; None: no bound.
    mads: a step is due, with what is there, when the time since the last step exceeds the median
    job by `mads` median absolute deviations; None: no deadline.
    Raises: ValueError for a quorum below 1 or any other number below 0.
    """

    quorum: int | None = 1
    backups: int = 0
    fresh: bool = False
    max_staleness: int | None = None
    hold: bool = False
    bound: int | None = None
    mads: float | None = None

    def __post_init__(self) -> None:
        if self.quorum is not None and self.quorum < 1:
            raise ValueError(
                f"Expected a quorum of at least 1 gradient, got {self.quorum}; raise it."
            )
        for name in ("backups", "max_staleness", "bound", "mads"):
            number = getattr(self, name)
            if number is not None and not number >= 0:
                raise ValueError(f"Expected {name} >= 0, got {number}; use 0 for the least.")

    def accepts(self, push: Push, ledger: Ledger) -> str:
        """Drop what is staler than `max_staleness`."""
        if self.max_staleness is None:
            return ""
        tau = ledger.tau(push)
        if tau <= self.max_staleness:
            return ""
        return f"staleness {tau} exceeds {self.max_staleness}"

    def ready(self, ledger: Ledger) -> bool:
        """The quorum is there, or nobody awaited can complete it, or the deadline has passed."""
        counted = ledger.num_fresh if self.fresh else len(ledger.buffer)
        if self.quorum is None:
            # A gradient whose worker has died counts, so that a step never gets one too many.
            complete = counted >= max(1, ledger.num_taking_part - self.backups)
        else:
            complete = counted >= self.quorum or (self.hold and not ledger.num_awaited)
        if complete or self.mads is None:
            return complete
        deadline = self.next_deadline(ledger)
        return deadline is not None and ledger.now >= deadline

    def require_workers(self, workers: int) -> None:
        """Refuse a quorum of waiting workers, or a number of backups, that they cannot bring."""
        if self.hold and self.quorum is not None and self.quorum > workers:
            raise ValueError(
                f"Expected a quorum of at most {workers} (the workers), got {self.quorum}; "
                "lower it or have more workers."
            )
        if self.backups >= workers:
            raise ValueError(
                f"Expected fewer backup workers than workers ({workers}), got {self.backups}; "
                "have fewer of them or more workers."
            )

    def may_pull(self, worker: int, ledger: Ledger) -> bool:
        """Not while its gradient waits for a step (`hold`), nor too far ahead (`bound`)."""
        member = ledger.members[worker]
        if self.hold and member.buffered:
            return False
        if self.bound is None or not member.takes_part:
            return True
        return member.clock - ledger.floor <= self.bound

    def next_deadline(self, ledger: Ledger) -> float | None:
        """Last step + median + mads * MAD of job times, once as many were seen as workers.

        With more workers than the running median looks at: once its window is full.
        """
        if self.mads is None or len(ledger.durations) < min(ledger.num_taking_part, WINDOW):
            return None
        durations = ledger.durations
        spread = self.mads * durations.absolute_deviation()
        return ledger.opened_at + durations.value() + spread


class Named(abc.ABC):
    """A policy known by a name: answers as its `point` does."""

    def __post_init__(self) -> None:
        self.point  # noqa: B018 -- arguments out of range are refused here, at the door

    @property
    @abc.abstractmethod
    def point(self) -> Point:
        """Where this policy lies in the space."""

    def accepts(self, push: Push, ledger: Ledger) -> str:
        """See `Point.accepts`."""
        return self.point.accepts(push, ledger)

    def ready(self, ledger: Ledger) -> bool:
        """See `Point.ready`."""
        return self.point.ready(ledger)

    def require_workers(self, workers: int) -> None:
        """See `Point.require_workers`."""
        self.point.require_workers(workers)

    def may_pull(self, worker: int, ledger: Ledger) -> bool:
        """See `Point.may_pull`."""
        return self.point.may_pull(worker, ledger)

    def next_deadline(self, ledger: Ledger) -> float | None:
        """See `Point.next_deadline`."""
        return self.point.next_deadline(ledger)
