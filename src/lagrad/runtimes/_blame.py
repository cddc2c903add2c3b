"""Whose fault it was that workers failed, theirs or their samples': pure."""

from dataclasses import dataclass, field

#: Leases of which failures are remembered, so that a long run's book is no longer than that.
_KEPT = 1000


@dataclass
class Blame:
    """Remembers over which leases workers failed, and clears them when the lease is to blame.

    That is when the server sets it aside, and something else was computed well since the last
    time: where everything fails, the samples are not to blame, and the restarts come to their end.

    >>> blame = Blame()
    >>> blame.failed(worker=0, lease=7); blame.failed(worker=2, lease=7)
    >>> blame.set_aside(7, applied=40), blame.set_aside(8, applied=40)
    ([0, 2], [])
    """

    _failures: dict[int, list[int]] = field(default_factory=dict)
    _applied: int = 0

    def failed(self, *, worker: int, lease: int) -> None:
        """A worker failed over a lease. Of the oldest that were settled after all, none is kept."""
        self._failures.setdefault(lease, []).append(worker)
        if len(self._failures) > _KEPT:
            del self._failures[next(iter(self._failures))]

    def set_aside(self, lease: int, *, applied: int) -> list[int]:
        """The workers whose failures over a lease that is set aside now are none of theirs.

        applied: gradients so far. A worker is named as often as it failed.
        """
        cleared = self._failures.pop(lease, [])
        if applied <= self._applied:
            return []
        self._applied = applied
        return cleared
