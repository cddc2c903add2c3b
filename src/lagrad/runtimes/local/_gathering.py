"""Pushes that have come and wait for others, so that their steps move less memory together."""

import math
from collections.abc import Iterator, Mapping

from lagrad.core import Event

#: How long a push waits at most, in times that a step takes. One step by itself, on one core and
#: into another row, takes about as long as two that are carried out together. A push that waits
#: for one expected at any time within this waits half of it on average, and so loses nothing.
_STEPS = 2.0


class Gathering:
    """Who has pushed and is not answered yet, and how long it waits.

    A worker is expected as long after it was sent its point as it took the last time. Waited for
    are those that are expected before two steps' time is up, and those that are overdue by no more
    than that: for a slow worker only when it is due.

    >>> gathering = Gathering()
    >>> gathering.add(0, iter(()), now=8.0, took=8.0, step_s=1.0)
    >>> gathering.left(8.0, {1: 0.0})  # of worker 1 nothing is known yet
    0.0
    >>> len(gathering.answer())
    1
    >>> gathering.add(1, iter(()), now=9.0, took=9.0, step_s=1.0)
    >>> gathering.left(9.0, {0: 8.0}), gathering.left(9.0, {0: 2.5})  # expected at 16, at 10.5
    (0.0, 2.0)
    """

    def __init__(self) -> None:
        self._rest: dict[int, Iterator[Event]] = {}
        self._took: dict[int, float] = {}
        self._began = self._ends = 0.0

    def add(
        self, worker: int, rest: Iterator[Event], *, now: float, took: float, step_s: float
    ) -> None:
        """A worker has pushed.

        rest: what is to follow its push. now: a moment; took: since it was sent its point; step_s:
        what carrying a step out takes lately, or several together; in seconds.
        """
        if not self._rest:
            self._began, self._ends = now, now + _STEPS * step_s
        self._rest[worker] = rest
        self._took[worker] = took

    @property
    def anyone(self) -> bool:
        """Whether somebody waits."""
        return bool(self._rest)

    def left(self, now: float, sent_at: Mapping[int, float]) -> float:
        """How long they wait for others, in whole milliseconds, as a selector counts: in seconds.

        sent_at: when each worker that computes was sent its point.
        """
        given_up = self._began - (self._ends - self._began)  # who is longer overdue
        expected = any(
            given_up <= at + self._took[worker] <= self._ends
            for worker, at in sent_at.items()
            if worker in self._took
        )
        return math.floor((self._ends - now) * 1e3) / 1e3 if expected else 0.0

    def answer(self) -> list[Iterator[Event]]:
        """What is to follow the pushes, in their order; nobody waits any more."""
        rest, self._rest = self._rest, {}
        return list(rest.values())

    def lost(self, worker: int) -> None:
        """It is gone: nothing follows its push, and nothing is known of who comes next."""
        self._rest.pop(worker, None)
        self._took.pop(worker, None)
