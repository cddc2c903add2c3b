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
        self._median = 0.0
        #: Of the window as it was when last asked for; and how many of the numbers that are nearest
        #: to the median lay below it then, from where the next search starts.
        self._deviation: float | None = 0.0
        self._below = 0

    def __len__(self) -> int:
        return min(len(self._recent), WINDOW)

    def __repr__(self) -> str:
        return f"RunningMedian({list(self._recent)[-WINDOW:]})"

    def add(self, number: float) -> None:
        """Take in one finite number, forgetting the oldest beyond the window."""
        self._recent.append(number)
        self._unsorted += 1

    def _sort(self) -> None:
        added, self._unsorted = self._unsorted, 0
        ordered, recent = self._ordered, self._recent
        if added > _FEW:
            ordered[:] = sorted(list(recent)[-WINDOW:])
        else:
            moved = False
            for index in range(-added, 0):
                if len(ordered) == WINDOW:
                    gone = recent[index - WINDOW]
                    if gone == recent[index]:  # as where all jobs take equally long
                        continue
                    del ordered[bisect_left(ordered, gone)]
                insort(ordered, recent[index])
                moved = True
            if not moved:
                return
        half, odd = divmod(len(ordered), 2)
        self._median = ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2
        self._deviation = None

    def value(self) -> float:
        """The median, 0 before the first number."""
        if self._unsorted:
            self._sort()
        return self._median

    def absolute_deviation(self) -> float:
        """The median distance from the median (MAD), 0 before the first number."""
        if self._unsorted:
            self._sort()
        if self._deviation is None:
            self._deviation, self._below = _deviation(self._ordered, self._median, self._below)
        return self._deviation


def _deviation(ordered: list[float], median: float, guess: int) -> tuple[float, int]:
    """The median distance of numbers in order from their median, and what was to be guessed.

    The numbers below the median, from it downwards, and the rest upwards are two sequences of
    growing distances. Of the nearest half `below` lie below, where the next one there is no nearer
    than the last one above. It changes little from one addition to the next, so that a few
    steps from the `guess` suffice.
    """
    count = len(ordered)
    half, odd = divmod(count, 2)
    middle = bisect_left(ordered, median)
    # Of the half + 1 nearest, so many lie below; as few as can be.
    least, most = max(0, half + 1 - (count - middle)), min(middle, half + 1)
    below = min(max(guess, least), most)
    # The next below, at middle - 1 - below, against the last above, at middle + half - below.
    while below < most and (
        median - ordered[middle - 1 - below] < ordered[middle + half - below] - median
    ):
        below += 1
    while below > least and not (
        median - ordered[middle - below] < ordered[middle + half + 1 - below] - median
    ):
        below -= 1
    # The farthest of them is at one end, and the next one beside it or at the other.
    first, last = middle - below, middle + half - below
    low, high = abs(ordered[first] - median), abs(ordered[last] - median)
    if odd:
        return max(low, high), below
    if low > high:
        return (low + max(abs(ordered[first + 1] - median), high)) / 2, below
    return (max(low, abs(ordered[last - 1] - median)) + high) / 2, below
