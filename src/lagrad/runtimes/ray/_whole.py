"""The vector in one piece, kept by the server's process: points on their way out, gradients in."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs
from torch import Tensor

from lagrad.core import Send
from lagrad.runtimes._memory import Points, Region, forget, share
from lagrad.runtimes.wire._compression import Compression
from lagrad.runtimes.wire._messages import Brought, Compute
from lagrad.runtimes.wire._wire import Letter, Wire

from ._berth import Berth
from ._host_copies import HostCopies, Parcel


@dataclass(frozen=True)
class _Order:
    """What a worker of another host is to compute; the point is still to be had."""

    berth: Berth
    compute: Compute
    buffers: Sequence[Tensor]


class Whole:
    """Workers on this host share memory with the server; those of another one its copies.

    node: of Ray, that this host is. like: [P]. workers: at most so many. compression: of gradients
    that come from other hosts.
    """

    def __init__(
        self, node: str, wire: Wire, like: Tensor, *, workers: int, compression: Compression | None
    ) -> None:
        self._node, self._wire, self._compression = node, wire, compression
        points, rows = share(node, workers + 1, like)
        gradients, self._gradients = share(node, workers, like)
        self._points = Points(rows)
        #: Where workers of this host find them.
        self.regions: tuple[Region, Region] = (points, gradients)
        #: What the workers of other hosts share, by node.
        self._copies: dict[str, HostCopies[_Order]] = defaultdict(
            lambda: HostCopies(workers, like.nbytes)
        )

    def send(self, berth: Berth, send: Send, *, alone: bool) -> None:
        """Tell a worker what to compute. alone: whether no other is on its host."""
        row = self._points.hold(berth.number, send.version, send.point)
        buffers = [] if send.buffers is None else [send.buffers]
        if berth.node == self._node:
            self._wire.send(Compute(send.version, send.lease, row), *buffers, peer=berth.name)
            return
        order = _Order(berth, Compute(send.version, send.lease, None), buffers)
        if alone:
            self._deliver([Parcel(order, None)])
            return
        who, life, now = berth.number, berth.incarnation, time.monotonic()
        self._deliver(self._copies[berth.node].give(who, life, send.version, order, now=now))

    def _deliver(self, parcels: Sequence[Parcel[_Order]]) -> None:
        """Send workers of other hosts what they compute, with the point or with its spot."""
        for parcel in parcels:
            order = parcel.order
            point = [self._points.row_of(order.berth.number)] if parcel.travels else []
            compute = structs.replace(order.compute, spot=parcel.spot)
            self._wire.send(compute, *order.buffers, *point, peer=order.berth.name)

    def gradient(self, berth: Berth, letter: Letter) -> Tensor:
        """What a worker has computed, [P]; it computes at its point no more."""
        self._points.release(berth.number)
        self._copies[berth.node].release(berth.number)
        shared = self._gradients[berth.number]
        if berth.node == self._node:
            return shared
        return letter.gradient(self._compression, shared)

    def brought(self, berth: Berth, news: Brought) -> None:
        """A worker has left a copy for those of its host."""
        self._deliver(self._copies[berth.node].brought(news.epoch, news.version, news.path))

    def missed(self, berth: Berth) -> None:
        """A worker did not find the copy of its host; it asks anew."""
        self._deliver(self._copies[berth.node].renew())

    def lost(self, berth: Berth) -> None:
        """A worker is gone."""
        self._points.release(berth.number)
        self._deliver(self._copies[berth.node].lost(berth.number))

    def keep_time(self) -> None:
        """Let nobody wait too long for another worker of its host."""
        for copies in self._copies.values():
            self._deliver(copies.overdue(time.monotonic()))

    def close(self) -> None:
        """Who sees the memory keeps it; nobody else finds it."""
        for region in self.regions:
            forget(region)
