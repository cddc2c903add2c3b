"""A shard of a Ray run: an actor that keeps one slice of the vector, as first or as second."""

import copy
import queue
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lagrad.core import Rule

from ._cluster import own_host, own_node
from ._compression import Compression
from ._memory import Points, share
from ._messages import (
    Apply,
    Copied,
    Copy,
    Discard,
    Feed,
    Filled,
    Give,
    Hello,
    Holder,
    Part,
    Received,
    Slice,
    Stop,
)
from ._slices import SliceKeeper, SliceState
from ._wire import Address, Keys, Letter, Wire, name_of, poll


@dataclass(frozen=True)
class Post:
    """What a shard is told when it starts.

    params: its slice, or None for a second one, whose state comes from the first. rows: of the
    memory that its host shares, one for each worker.
    """

    life: int
    slice: int
    rule: Rule
    ema: float | None
    like: Tensor
    params: Tensor | None
    rows: int
    compression: Compression | None
    server: Address
    keys: Keys


class Shard:
    """The actor. `work` is its life; the two other calls hand its state over through Ray."""

    def __init__(self, path: list[str]) -> None:
        sys.path += [place for place in path if place not in sys.path]
        self._frozen: queue.SimpleQueue[SliceState] = queue.SimpleQueue()
        self._taken: queue.SimpleQueue[SliceState] = queue.SimpleQueue()

    def frozen(self) -> SliceState:
        """The state as it was when it was told to copy it."""
        return self._frozen.get()

    def take(self, state: SliceState) -> None:
        """Begin with this state."""
        self._taken.put(state)

    def work(self, post: Post) -> None:
        """Its life."""
        torch.set_num_threads(1)
        _Desk(post, self._frozen, self._taken).serve()


class _Desk:
    def __init__(
        self,
        post: Post,
        frozen: "queue.SimpleQueue[SliceState]",
        taken: "queue.SimpleQueue[SliceState]",
    ) -> None:
        self.post, self.frozen, self.taken = post, frozen, taken
        node = own_node()
        self.wire, address = Wire.listen(own_host(), post.keys, post.like.nbytes)
        points, rows = share(node, post.rows + 1, post.like)
        gradients, self.gradients = share(node, post.rows, post.like)
        self.points = Points(rows)
        self.follower: Wire | None = None
        #: What workers are sent that have not called yet.
        self.owed: dict[bytes, tuple[Part, list[Tensor]]] = {}
        self.server = Wire.connect(post.server, b"s%d" % post.life)
        holder = Holder(post.life, address.url, node, points.path, gradients.path, post.rows)
        self.server.send(Hello(0, node, holder))
        self.keeper: SliceKeeper | None = None

    def serve(self) -> None:
        post = self.post
        if post.params is None:
            self.keeper = SliceKeeper(post.rule, self.taken.get())
            self.server.send(Filled())
            for key in list(self.keeper.state.waiting):
                values = self.keeper.state.waiting[key][0]
                self.server.send(Received(key, self.keeper.put(key, values)))
        else:
            self.keeper = SliceKeeper.new(post.rule, post.params.clone(), ema=post.ema)
        wires = [self.server, self.wire]
        while True:
            poll(wires, 3600.0)
            # Slices first: an order may be about one.
            while (letter := self.wire.receive()) is not None:
                self._take_slice(self.keeper, letter)
            while (letter := self.server.receive()) is not None:
                if isinstance(letter.message, Stop):
                    return
                self._obey(self.keeper, letter.message)

    def _take_slice(self, keeper: SliceKeeper, letter: Letter) -> None:
        message = letter.message
        if isinstance(message, Hello) and letter.peer in self.owed:
            owed, vectors = self.owed.pop(letter.peer)
            self.wire.send(owed, *vectors, peer=letter.peer)
        if not isinstance(message, Slice):
            return
        if message.travels:
            how = None if letter.peer[:1] == b"f" else self.post.compression
            values = letter.gradient(how, self.post.like)
        else:
            values = self.gradients[message.worker]
        finite = keeper.put(message.key, values)
        self.points.release(message.worker)
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
            case Feed(holder, copies):
                if copies:
                    self.frozen.put(copy.deepcopy(keeper.state))
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
        tensors = [] if give.near else [self.points.rows[row]]
        if not self.wire.send(part, *tensors, peer=peer):
            # A worker that died before it called is owed nothing any more.
            prefix = b"%d." % give.worker
            self.owed = {p: owed for p, owed in self.owed.items() if not p.startswith(prefix)}
            self.owed[peer] = (part, tensors)
