"""What is to come in virtual time, in order."""

import heapq
from collections.abc import Iterator

import msgspec

from lagrad.core import Join, Push


class Job(msgspec.Struct, frozen=True, gc=False):
    """A push to come whose gradient may not be computed yet: what is told of it."""

    worker: int
    incarnation: int
    sequence: int
    version: int
    lease: int
    time: float


Upcoming = Job | Push | Join
#: When, the number of the entry, what.
Entry = tuple[float, int, Upcoming]


class Agenda:
    """At most one entry a worker: the end of its job or of its start.

    >>> agenda = Agenda()
    >>> for worker, time in enumerate((2.0, 1.0, 1.0)):
    ...     agenda.schedule(Join(worker=worker, time=time))
    >>> [agenda.withdraw(0).worker, *(agenda.pop()[2].worker for _ in range(2))]
    [0, 1, 2]
    """

    #: What a checkpoint keeps.
    CHANGES = ("_entries", "_scheduled")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._scheduled = 0

    def schedule(self, event: Upcoming) -> None:
        """It is to come; of two at one moment the earlier scheduled is first."""
        self._scheduled += 1
        heapq.heappush(self._entries, (event.time, self._scheduled, event))

    def withdraw(self, worker: int) -> Upcoming | None:
        """Take back what was to come of a worker."""
        found = [entry for entry in self._entries if entry[2].worker == worker]
        self._entries = [entry for entry in self._entries if entry[2].worker != worker]
        heapq.heapify(self._entries)
        return found[0][2] if found else None

    def __len__(self) -> int:
        """How many are to come."""
        return len(self._entries)

    def next_time(self) -> float:
        """When the next one comes; there must be one."""
        return self._entries[0][0]

    def pop(self) -> Entry:
        """Take the next one off; there must be one."""
        return heapq.heappop(self._entries)

    def put_back(self, entry: Entry) -> None:
        """What was taken off did not happen."""
        heapq.heappush(self._entries, entry)

    def __iter__(self) -> Iterator[Upcoming]:
        """All, in no order."""
        return (event for _, _, event in self._entries)
