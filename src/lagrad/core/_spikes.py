"""When the loss has jumped: a judgement from the losses alone."""

from collections import deque

from ._running_median import RunningMedian

#: Losses that together are called the present, and how many must have come before any judgement.
_PRESENT = 8
_FEWEST = 32


class Spikes:
    """Watches the losses of applied gradients.

    limit: see `Guard.spike`, or None. since: losses of points older than this version do not count.

    >>> spikes = Spikes(10.0)
    >>> for n in range(40): spikes.add(1.0 + 0.1 * (n % 3), version=n)
    >>> spikes.seen()
    False
    >>> for n in range(8): spikes.add(9.0, version=40 + n)
    >>> spikes.seen()
    True
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._usual = RunningMedian()
        self._present: deque[float] = deque(maxlen=_PRESENT)
        self.since = 0

    def add(self, loss: float, *, version: int) -> None:
        """Take in the loss of a gradient that was computed at `version`."""
        if self._limit is not None and version >= self.since:
            self._usual.add(loss)
            self._present.append(loss)

    def seen(self) -> bool:
        """Whether the present losses are far above the usual ones."""
        if self._limit is None or len(self._present) < _PRESENT or len(self._usual) < _FEWEST:
            return False
        spread = self._usual.absolute_deviation()
        present = sorted(self._present)[_PRESENT // 2]
        return 0 < self._limit * spread < present - self._usual.value()

    def forget(self, *, since: int) -> None:
        """The parameters went back: what comes from older points says nothing any more."""
        self.since = since
        self._present.clear()
