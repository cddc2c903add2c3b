"""A shard of a Ray run: an actor that keeps one slice of the vector, as first or as second."""

import copy
import os
import queue
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from msgspec import structs
from torch import Tensor

from lagrad.core import Rule
from lagrad.runtimes._memory import Points, share
from lagrad.runtimes.wire._compression import Compression
from lagrad.runtimes.wire._messages import (
    Apply,
    Brought,
    Copied,
    Copy,
    Discard,
    Feed,
    Filled,
    Freeze,
    Give,
    Hello,
    Holder,
    Missed,
    Part,
    Received,
    Slice,
    Stop,
)
from lagrad.runtimes.wire._pulses import beating
from lagrad.runtimes.wire._wire import Address, Keys, Letter, Wire, name_of, poll

from ._cluster import own_host, own_node
from ._host_copies import HostCopies, Parcel
from ._slices import SliceKeeper, SliceState

#: How often those are looked after who wait for another worker's copy, in seconds.
_PULSE_S = 0.1


@dataclass(frozen=True)
class Post:
    """What a shard is told when it starts.

    begins: its slice in a new run, or its state in one that goes on; None for a second one, whose
    state comes from the first. rows: of the memory that its host shares, one for each worker.
    """

    life: int
    slice: int
    rule: Rule
    ema: float | None
    like: Tensor
    begins: Tensor | SliceState | None
    rows: int
    compression: Compression | None
    server: Address
    keys: Keys


class _Copies:
    """Copies of the state by number: one thread puts them there, others wait for theirs."""

    def __init__(self) -> None:
        self._there: dict[int, SliceState] = {}
        self._news = threading.Condition()

    def put(self, number: int, state: SliceState) -> None:
        with self._news:
            self._there[number] = state
            self._news.notify_all()

    def get(self, number: int) -> SliceState:
        with self._news:
            self._news.wait_for(lambda: number in self._there)
            return self._there.pop(number)


class Shard:
    """The actor. `work` is its life; the other calls carry its state through Ray."""

    def __init__(self, path: list[str]) -> None:
        sys.path += [place for place in path if place not in sys.path]
        # Who is asked to end does so at once, and the other shard of its slice goes on; Ray's own
        # answer would wait for `work`. Signals are set in the main thread, where actors are made.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._frozen = _Copies()
        self._taken: queue.SimpleQueue[SliceState] = queue.SimpleQueue()

    def frozen(self, number: int) -> SliceState:
        """The state as it was when it was told to copy it by this number."""
        return self._frozen.get(number)

    def take(self, state: SliceState) -> None:
        """Begin with this state."""
        self._taken.put(state)

    def work(self, post: Post) -> None:
        """Its life."""
        torch.set_num_threads(1)
        with beating(post.server, b"s%d" % post.life):
            _Desk(post, self._frozen, self._taken).serve()


class _Desk:
    def __init__(
        self,
        post: Post,
        frozen: _Copies,
        taken: "queue.SimpleQueue[SliceState]",
    ) -> None:
        self.post, self.frozen, self.taken = post, frozen, taken
        node = own_node()
        self.wire, address = Wire.listen(own_host(), post.keys, post.like.nbytes)
        points, rows = share(node, post.rows + 1, post.like)
        gradients, self.gradients = share(node, post.rows, post.like)
        self.points = Points(rows)
        #: What the workers of other hosts share, by node; on which of these each worker is.
        self.copies: dict[str, HostCopies[_Order]] = defaultdict(
            lambda: HostCopies(post.rows, post.like.nbytes)
        )
        self.host_of: dict[int, str] = {}
        #: The part that each worker was given last.
        self.given: dict[int, _Order] = {}
        self.follower: Wire | None = None
        #: What workers are sent that have not called yet.
        self.owed: dict[bytes, tuple[Part, list[Tensor]]] = {}
        self.server = Wire.connect(post.server, b"s%d" % post.life)
        holder = Holder(post.life, address.url, node, points.path, gradients.path, post.rows)
        self.server.send(Hello(os.getpid(), node, holder))
        self.keeper: SliceKeeper | None = None

    def serve(self) -> None:
        post = self.post
        if isinstance(post.begins, SliceState):
            self.keeper = SliceKeeper(post.rule, post.begins)
        elif post.begins is None:
            self.keeper = SliceKeeper(post.rule, self.taken.get())
            self.server.send(Filled())
            for key in list(self.keeper.state.waiting):
                values = self.keeper.state.waiting[key][0]
                self.server.send(Received(key, self.keeper.put(key, values)))
        else:
            self.keeper = SliceKeeper.new(post.rule, post.begins.clone(), ema=post.ema)
        wires = [self.server, self.wire]
        while True:
            awaited = any(copies.awaited for copies in self.copies.values())
            poll(wires, _PULSE_S if awaited else 3600.0)
            for copies in self.copies.values():
                self._deliver(copies.overdue(time.monotonic()))
            # Slices first: an order may be about one.
            while (letter := self.wire.receive()) is not None:
                self._hear(self.keeper, letter)
            while (letter := self.server.receive()) is not None:
                if isinstance(letter.message, Stop):
                    return
                self._obey(self.keeper, letter.message)

    def _hear(self, keeper: SliceKeeper, letter: Letter) -> None:
        match letter.message:
            case Hello() if letter.peer in self.owed:
                owed, vectors = self.owed.pop(letter.peer)
                self.wire.send(owed, *vectors, peer=letter.peer)
            case Slice():
                self._take_slice(keeper, letter, letter.message)
            case Brought(epoch, version, path) if order := self._given_to(letter.peer):
                copies = self.copies[self.host_of[order.worker]]
                self._deliver(copies.brought(epoch, version, path))
            case Missed(version) if order := self._given_to(letter.peer):
                self._deliver(self.copies[self.host_of[order.worker]].renew())
                if order.part.version == version:
                    self._deliver([Parcel(order, None)])

    def _given_to(self, peer: bytes) -> "_Order | None":
        """What the worker of this name was given last that shares with others of its host."""
        order = self.given.get(int(peer.partition(b".")[0]))
        return order if order is not None and order.peer == peer else None

    def _take_slice(self, keeper: SliceKeeper, letter: Letter, message: Slice) -> None:
        if message.travels:
            how = None if letter.peer[:1] == b"f" else self.post.compression
            values = letter.gradient(how, self.post.like)
        else:
            values = self.gradients[message.worker]
        # One that comes again, to a shard that has taken another's place, says nothing new: its
        # worker may have been given its next part.
        if not keeper.knows(message.key):
            self.points.release(message.worker)
            if message.worker in self.host_of:
                self.copies[self.host_of[message.worker]].release(message.worker)
        finite = keeper.put(message.key, values)
        if self.follower is not None and message.key in keeper.state.waiting:
            kept = keeper.state.waiting[message.key][0]
            forwarded = Slice(message.worker, message.incarnation, message.sequence, travels=True)
            self.follower.send(forwarded, kept)
        self.server.send(Received(message.key, finite))

    def _obey(self, keeper: SliceKeeper, order: Any) -> None:
        match order:
            case Apply():
                keeper.apply(order)
            case Give():
                self._give(keeper, order)
            case Discard(key):
                keeper.discard(key)
            case Freeze(number):
                self.frozen.put(number, copy.deepcopy(keeper.state))
            case Feed(holder):
                if self.follower is not None:
                    self.follower.close()
                address = Address(holder.url, self.post.keys, self.post.like.nbytes)
                self.follower = Wire.connect(address, b"f%d" % self.post.life)
            case Copy(number):
                vectors = [keeper.state.params.clone(), keeper.evaluation_params.clone()]
                self.server.send(Copied(number), *vectors)

    def _give(self, keeper: SliceKeeper, give: Give) -> None:
        point = keeper.point(give.worker, expected_tau=give.expected_tau)
        if not give.sends:
            return
        row = self.points.hold(give.worker, give.version, point)
        peer = name_of(give.worker, give.incarnation)
        part = Part(self.post.life, self.post.slice, give.version, row if give.near else None)
        order = _Order(give.worker, peer, part)
        if give.near or not give.host:
            self._send(order, [] if give.near else [self.points.rows[row]])
            return
        self.host_of[give.worker], self.given[give.worker] = give.host, order
        copies, now = self.copies[give.host], time.monotonic()
        self._deliver(copies.give(give.worker, give.incarnation, give.version, order, now=now))

    def _deliver(self, parcels: "Sequence[Parcel[_Order]]") -> None:
        """Send workers of other hosts their part, as a frame or by its spot."""
        for parcel in parcels:
            order = parcel.order
            tensors = [self.points.row_of(order.worker)] if parcel.travels else []
            part = structs.replace(order.part, spot=parcel.spot)
            self._send(replace(order, part=part), tensors)

    def _send(self, order: "_Order", tensors: list[Tensor]) -> None:
        if not self.wire.send(order.part, *tensors, peer=order.peer):
            # A worker that died before it called is owed nothing any more.
            prefix = b"%d." % order.worker
            self.owed = {p: owed for p, owed in self.owed.items() if not p.startswith(prefix)}
            self.owed[order.peer] = (order.part, tensors)


@dataclass(frozen=True)
class _Order:
    """A part that a worker is to have. peer: its name."""

    worker: int
    peer: bytes
    part: Part
