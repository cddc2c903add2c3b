"""What a loop does now and then, however often it comes round."""

import math


class Throttle:
    """Lets something happen at most every so many seconds, the first time at once.

    >>> looks = Throttle(0.5)
    >>> [looks.due(now) for now in (0.0, 0.25, 0.5, 0.75, 2.0)]
    [True, False, True, False, True]
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._next = -math.inf

    def due(self, now: float) -> bool:
        """Whether it is to happen now; if so, it is not again for a while. now: seconds."""
        if now < self._next:
            return False
        self._next = now + self._every
        return True
