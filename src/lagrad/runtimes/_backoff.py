"""When a worker's place is filled again after its process has gone: pure, on the caller's clock."""

from dataclasses import dataclass

#: Of the pause after the first failure, and the longest, in seconds.
_FIRST_S, _LONGEST_S = 1.0, 60.0
#: A life of so many seconds forgives the failures before it.
_HEALTHY_S = 600.0


@dataclass
class Backoff:
    """How long a place stays empty, and how often it is filled again: 1 s, 2 s, 4 s, ... 60 s.

    restarts: failures in a row after which there is another try; a life of ten minutes ends the
    row. A worker that was asked to leave has not failed: its place is filled again after the
    longest pause, since whoever wanted its core or memory shall have it for a while.
    due: when the next life may begin, None while there is one, or for good. All times: seconds on
    any one clock that does not go back.

    >>> place = Backoff(restarts=2)
    >>> place.began(0.0); place.failed(5.0); place.due
    6.0
    >>> place.began(6.0); place.failed(7.0); place.due
    9.0
    >>> place.began(9.0); place.failed(10.0); place.due is None
    True
    """

    #: What a checkpoint keeps: another process has another clock, and begins all lives anew.
    CHANGES = ("failures",)

    restarts: int
    failures: int = 0
    due: float | None = None
    _began_at: float = 0.0

    def began(self, now: float) -> None:
        """A life begins."""
        self.due, self._began_at = None, now

    def failed(self, now: float) -> None:
        """The life has ended by a failure."""
        if now - self._began_at >= _HEALTHY_S:
            self.failures = 0
        self.failures += 1
        self.due = now + self._pause() if self.failures <= self.restarts else None

    def cleared(self, now: float) -> None:
        """One of its failures was no fault of the worker."""
        empty = self.failures > self.restarts
        self.failures = max(0, self.failures - 1)
        if empty and self.failures <= self.restarts:
            self.due = now + self._pause()

    def left(self, now: float) -> None:
        """The life has ended in order, asked to by somebody else."""
        self.due = now + _LONGEST_S

    def _pause(self) -> float:
        # The exponent is bounded, so that no number of failures is too large for a float.
        return min(_LONGEST_S, _FIRST_S * 2.0 ** min(max(0, self.failures - 1), 30))
