"""One copy of a point for all workers of a host that keeps no vector: who brings it, who finds it.

Whoever gives points keeps one of these for each such host, and no memory of that host itself. The
first worker that is given a version is sent all of it, writes it to a row of the host's memory and
says so; those that are given the same version meanwhile wait for that, later ones find it. Nobody
is waited for long: whose copy does not come is stood in for by a copy each.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lagrad.runtimes._memory import Rows
from lagrad.runtimes.wire._messages import Spot

#: What tells a worker to compute, as whoever gives points has it.
Order = TypeVar("Order")

#: Who holds the newest version, so that it is there for whoever is given it later.
_NOBODY = -1
#: How long others wait for the copy that a worker of their host was sent: so many seconds, and
#: as long as its bytes take at so many bytes per second.
_TIMEOUT_S, _SLOWEST = 1.0, 20e6


@dataclass(frozen=True)
class Parcel(Generic[Order]):
    """What a worker is sent now. spot: where the point is to be written or found, None: neither.

    order: as it was given.
    """

    order: Order
    spot: Spot | None

    @property
    def travels(self) -> bool:
        """Whether the point goes along."""
        return self.spot is None or self.spot.brings


@dataclass
class _Way(Generic[Order]):
    """A version that is on its way to the host. waiting: orders by worker."""

    since: float
    waiting: dict[int, Order] = field(default_factory=dict)


class HostCopies(Generic[Order]):
    """The copies of one host. workers: at most so many are there. nbytes: of a point.

    A row is written to when no worker reads it. Where a worker has come back, or does not find the
    memory, all begins anew with another memory: nothing that may still be read, or written by one
    that was thought dead, is used again.
    """

    def __init__(self, workers: int, nbytes: int) -> None:
        self._num_rows = workers + 2
        self._timeout_s = _TIMEOUT_S + nbytes / _SLOWEST
        self._epoch = 0
        self._begin()

    def _begin(self) -> None:
        self._path = ""
        self._rows = Rows(self._num_rows)
        self._newest = -1
        self._lives: dict[int, int] = {}
        self._on_the_way: dict[int, _Way[Order]] = {}

    def give(
        self, worker: int, incarnation: int, version: int, order: Order, *, now: float
    ) -> list[Parcel[Order]]:
        """What is sent now where a worker is to have the point of a version. now: in seconds."""
        parcels = []
        if self._lives.get(worker, incarnation) != incarnation:
            parcels += self.renew()
        maker = next(iter(self._on_the_way.values()), None) if not self._path else None
        if maker is not None and version not in self._on_the_way:
            # The memory is still being made.
            if now - maker.since < self._timeout_s:
                self.release(worker)
                return [*parcels, Parcel(order, None)]
            parcels += self.renew()
        self._lives[worker] = incarnation
        self.release(worker)
        row, new = self._rows.hold(worker, version)
        if version > self._newest:
            self._newest = version
            self._let_go(_NOBODY)
            self._rows.hold(_NOBODY, version)
        way = self._on_the_way.get(version)
        if new:
            self._on_the_way[version] = _Way(now)
            parcels.append(Parcel(order, self._spot(row, brings=True)))
        elif way is None:
            parcels.append(Parcel(order, self._spot(row, brings=False)))
        else:
            way.waiting[worker] = order
        return parcels

    def _spot(self, row: int, *, brings: bool) -> Spot:
        return Spot(self._epoch, self._path, self._num_rows, row, brings)

    def brought(self, epoch: int, version: int, path: str) -> list[Parcel[Order]]:
        """A worker has written a version to its row, of the memory at this path."""
        if epoch != self._epoch or version not in self._on_the_way:
            return []
        way = self._on_the_way.pop(version)
        self._path = path
        return [
            Parcel(order, self._spot(self._rows.row_of(worker), brings=False))
            for worker, order in way.waiting.items()
        ]

    def release(self, worker: int) -> None:
        """The worker has computed."""
        self._let_go(worker)
        for way in self._waited_for():
            way.waiting.pop(worker, None)

    def _let_go(self, worker: int) -> None:
        forgotten = self._rows.release(worker)
        if forgotten is not None:
            self._on_the_way.pop(forgotten, None)

    def lost(self, worker: int) -> list[Parcel[Order]]:
        """The worker is gone, or is thought to be: it may still write what it was sent."""
        for way in self._waited_for():
            way.waiting.pop(worker, None)
        return self.renew()

    def overdue(self, now: float) -> list[Parcel[Order]]:
        """What is sent to those that have waited for too long."""
        if all(now - way.since < self._timeout_s for way in self._waited_for()):
            return []
        return self.renew()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits, so that `overdue` has to be asked."""
        return bool(self._waited_for())

    def _waited_for(self) -> list[_Way[Order]]:
        return [way for way in self._on_the_way.values() if way.waiting]

    def renew(self) -> list[Parcel[Order]]:
        """Begin anew, with another memory; what those are sent that wait."""
        parcels = [
            Parcel(order, None) for way in self._waited_for() for order in way.waiting.values()
        ]
        self._epoch += 1
        self._begin()
        return parcels
