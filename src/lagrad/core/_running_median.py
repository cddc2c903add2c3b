"""The median of recent numbers and their median distance from it."""

from bisect import bisect_left, insort
from collections import deque

#: How many recent stalenesses and job durations the running medians look at.
WINDOW = 128
#: So many additions are put in their places one by one; after more, all is sorted anew.
_FEW = 8


class RunningMedian:
    """The median of the last `WINDOW` numbers; adding is cheap, asking after few additions, too.

    >>> median = RunningMedian()
    >>> for tau in (3, 1, 2, 10): median.add(tau)
    >>> median.value(), median.absolute_deviation()
    (2.5, 1.0)
    """

    def __init__(self) -> None:
        #: The window as it was when last asked, and what has come since.
        self._recent: deque[float] = deque(maxlen=WINDOW + _FEW)
        self._ordered: list[float] = []
        self._unsorted = 0
        self._deviation: float | None = None

    def __len__(self) -> int:
        return min(len(self._recent), WINDOW)

    def __repr__(self) -> str:
        return f"RunningMedian({list(self._recent)[-WINDOW:]})"

    def add(self, number: float) -> None:
        """Take in one finite number, forgetting the oldest beyond the window."""
        self._recent.append(number)
        self._unsorted += 1

    def _in_order(self) -> list[float]:
        added, self._unsorted = self._unsorted, 0
        ordered, recent = self._ordered, self._recent
        if added:
            self._deviation = None
        if added > _FEW:
            ordered[:] = sorted(list(recent)[-WINDOW:])
        elif added:
            oldest = len(recent) - len(ordered) - added
            for index in range(oldest, oldest + len(ordered) + added - WINDOW):
                del ordered[bisect_left(ordered, recent[index])]
            for index in range(-added, 0):
                insort(ordered, recent[index])
        return ordered

    def value(self) -> float:
        """The median, 0 before the first number."""
        ordered = self._in_order()
        if not ordered:
            return 0.0
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    def absolute_deviation(self) -> float:
        """The median distance from the median (MAD), 0 before the first number."""
        ordered = self._in_order()
        if self._deviation is None:
            self._deviation = _deviation(ordered, self.value()) if ordered else 0.0
        return self._deviation


def _deviation(ordered: list[float], median: float) -> float:
    """The median distance of numbers in order from their median, in O(log n).

    The numbers below the median, from it downwards, and the rest upwards are two sequences of
    growing distances; bisection finds how many of the nearest half lie below.
    """
    half, odd = divmod(len(ordered), 2)
    middle = bisect_left(ordered, median)
    # Of the half + 1 nearest, so many lie below; as few as can be.
    below, most = max(0, half + 1 - (len(ordered) - middle)), min(middle, half + 1)
    while below < most:
        tried = (below + most) // 2
        if median - ordered[middle - 1 - tried] < ordered[middle + half - tried] - median:
            below = tried + 1
        else:
            most = tried
    # The farthest of them is among the two farthest on either side, and so is the next.
    first, last = middle - below, middle + half - below
    ends = {first, min(first + 1, last), last, max(last - 1, first)}
    farthest = sorted(abs(ordered[index] - median) for index in ends)
    return farthest[-1] if odd else (farthest[-2] + farthest[-1]) / 2
