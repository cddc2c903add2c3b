"""A worker's side of the shards: it puts their parts together, and gives each its slice."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lagrad.runtimes._memory import Region
from lagrad.runtimes.wire._compression import Compression, Compressor
from lagrad.runtimes.wire._messages import Holder, Missed, Part, Slice
from lagrad.runtimes.wire._wire import Address, Letter, Wire, name_of, own_hello

from ._host_memory import HostMemory


class Parts:
    """The vector of a worker, in slices that shards keep.

    like: [P]. cuts: (start, stop) of the slices. server: whose keys the shards have, too.
    """

    def __init__(
        self,
        like: Tensor,
        cuts: Sequence[tuple[int, int]],
        server: Address,
        *,
        worker: int,
        incarnation: int,
        node: str,
        compression: Compression | None,
    ) -> None:
        self.cuts = cuts
        self._server, self._node = server, node
        self._compressors = [
            Compressor(compression, like[start:stop]) if compression else None
            for start, stop in cuts
        ]
        self._sent: list[Tensor | None] = [None] * len(cuts)
        self._worker, self._incarnation = worker, incarnation
        self._point = torch.empty_like(like)
        self._links: list[_Link | None] = [None] * len(cuts)
        #: Of the part of each slice that lies in the point.
        self._versions = [-1] * len(cuts)
        self._pushed: tuple[int, Tensor] | None = None

    @property
    def wires(self) -> list[Wire]:
        """Where parts come."""
        return [link.wire for link in self._links if link is not None]

    def turn_to(self, table: Sequence[Holder]) -> None:
        """The shards are these now; those that are new are given the last gradient again.

        They know a push that they have got, so that none counts twice.
        """
        for number, holder in enumerate(table):
            link = self._links[number]
            if link is not None and link.holder.life == holder.life:
                continue
            if link is not None:
                link.wire.close()
            self._versions[number] = -1
            self._links[number] = self._link(number, holder)
            if self._pushed is not None:
                self._push(number, *self._pushed)

    def _link(self, number: int, holder: Holder) -> "_Link":
        start, stop = self.cuts[number]
        size, dtype = stop - start, self._point.dtype
        address = Address(holder.url, self._server.keys, size * dtype.itemsize)
        wire = Wire.connect(address, name_of(self._worker, self._incarnation))
        wire.send(own_hello(self._node))  # the shard can answer from now on
        host = HostMemory(self._node, self._point[start:stop])
        if holder.node != self._node:
            return _Link(holder, wire, host, None, None)
        points, gradients = (
            Region(holder.node, path, rows, size, dtype).open()
            for path, rows in ((holder.points, holder.rows + 1), (holder.gradients, holder.rows))
        )
        return _Link(holder, wire, host, points, gradients[self._worker])

    def take(self, letter: Letter) -> None:
        """A shard's part has come."""
        part = letter.message
        assert isinstance(part, Part)
        link = self._links[part.slice]
        if link is None or link.holder.life != part.life:
            return
        start, stop = self.cuts[part.slice]
        if part.row is not None:
            assert link.points is not None
            values = link.points[part.row]
        elif part.spot is None or part.spot.brings:
            values = letter.tensor(0, self._point.dtype, stop - start)
            if part.spot is not None:
                _, brought = link.host.write(part.spot, part.version, values)
                if brought is not None:
                    link.wire.send(brought)
        else:
            found = link.host.read(part.spot)
            if found is None:
                link.wire.send(Missed(part.version))
                return
            values = found
        self._point[start:stop].copy_(values)
        self._versions[part.slice] = part.version

    def point(self, version: int) -> Tensor | None:
        """The whole point of a version, [P], or None while a part of it is missing."""
        return self._point if all(each == version for each in self._versions) else None

    def begin(self) -> None:
        """The last gradient is about to be written over: every shard that counts has got it."""
        self._pushed = None
        self._sent = [None] * len(self.cuts)

    def push(self, sequence: int, gradient: Tensor) -> None:
        """Give every shard its slice; the gradient stays as it is until the next part comes."""
        self._pushed = (sequence, gradient)
        for number in range(len(self.cuts)):
            self._push(number, sequence, gradient)

    def _push(self, number: int, sequence: int, gradient: Tensor) -> None:
        link = self._links[number]
        assert link is not None
        start, stop = self.cuts[number]
        travels = link.gradient is None
        message = Slice(self._worker, self._incarnation, sequence, travels)
        if link.gradient is None:
            link.wire.send(message, self._compressed(number, gradient[start:stop]))
        else:
            link.gradient.copy_(gradient[start:stop])
            link.wire.send(message)

    def _compressed(self, number: int, part: Tensor) -> Tensor:
        compressor = self._compressors[number]
        if compressor is None:
            return part
        sent = self._sent[number]
        if sent is None:  # else it goes a second time, to another shard
            sent = self._sent[number] = compressor(part)
        return sent


@dataclass(frozen=True)
class _Link:
    """A worker's way to one shard. points and gradient: where they share a host; host: else."""

    holder: Holder
    wire: Wire
    host: HostMemory
    points: Tensor | None
    gradient: Tensor | None
