"""The server in shards: one ledger decides the order, every shard applies it to its slice.

A push enters the server's machine as a ticket when every shard has reported its slice, so that a
gradient is applied by all of them or by none; the steps go to all shards in one order. Each slice
is kept by two shards, on two hosts where there are two: the first serves the workers and feeds the
second, which does all the first does. Where the first is lost the second takes its place, and a
new second is started and given the first's state: nothing is computed again, nothing is applied
twice, and what is kept does not grow.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lagrad.checkpoints import Image, put_back
from lagrad.core import (
    Outcome,
    Push,
    Send,
    Server,
    Verdict,
)
from lagrad.runtimes._setup import Setup
from lagrad.runtimes._trainee import Trainee
from lagrad.runtimes.wire._compression import Compression
from lagrad.runtimes.wire._messages import (
    Computed,
    Copied,
    Copy,
    Discard,
    Feed,
    Filled,
    Freeze,
    Give,
    Hello,
    Holder,
    Holders,
    Key,
    Message,
    Received,
    Stop,
)
from lagrad.runtimes.wire._wire import Address, Keys, Letter, Wire

from ._cluster import Cluster
from ._pushes import Pushes
from ._shard import Post, Shard
from ._slices import SliceKeeper, SliceState, bounds
from ._tickets import Tickets


@dataclass
class _Life:
    """One shard actor. holder: None until it has told where it is; filled: it has its slice."""

    number: int
    slice: int
    holder: Holder | None = None
    filled: bool = False

    @property
    def name(self) -> bytes:
        """How the server's listener knows it."""
        return b"s%d" % self.number


class Shards:
    """The shards of a run.

    replaced: called when workers have to turn to other shards. patience: seconds that fetching
    their states may take.
    """

    #: What a checkpoint keeps of it, besides their states.
    CHANGES = ("pushes", "expected_tau")

    def __init__(
        self,
        setup: Setup,
        differentiator: Trainee,
        server: Server,
        cluster: Cluster,
        *,
        servers: int,
        compression: Compression | None,
        wire: Wire,
        address: Address,
        keys: Keys,
        replaced: Callable[[], None],
        patience: float,
    ) -> None:
        assert isinstance(server.rule, Tickets)
        self.setup, self.server, self.cluster = setup, server, cluster
        self.wire, self.address, self.keys, self.replaced = wire, address, keys, replaced
        self.rule, self.compression, self.patience = server.rule, compression, patience
        self.initial = differentiator.initial_params()
        self.bounds = bounds(self.initial.numel(), servers)
        self.restored: list[SliceState] = []
        self.freezings = itertools.count()
        self.lives: dict[int, _Life] = {}
        #: Of each slice the lives that count, the first of them serving; and those that start.
        self.keepers: list[list[_Life]] = [[] for _ in self.bounds]
        self.numbers = itertools.count()
        self.gone: set[str] = set()
        self.pushes = Pushes()
        self.copies: dict[int, tuple[Tensor, Tensor]] = {}
        self.copy_number = 0
        self.last: tuple[int, Tensor, Tensor] | None = None

    @property
    def expected_tau(self) -> float:
        """Of the points of this version."""
        return self.rule.expected_tau

    @expected_tau.setter
    def expected_tau(self, tau: float) -> None:
        self.rule.expected_tau = tau

    @property
    def ready(self) -> bool:
        """Whether every slice has both its shards, and both have it."""
        return all(
            len(lives) == 2 and all(life.holder is not None and life.filled for life in lives)
            for lives in self.keepers
        )

    @property
    def holders(self) -> Holders:
        """Whom workers turn to."""
        return Holders(tuple(lives[0].holder for lives in self.keepers if lives[0].holder))

    def start(self) -> None:
        """Start all shards, those of a slice on two nodes if there are two."""
        nodes = self.cluster.alive()
        for number in range(len(self.bounds)):
            for place in range(2):
                node = nodes[(number + place) % len(nodes)]
                self.keepers[number].append(self._start(number, node, first=True))

    def begin(self) -> None:
        """All are there: from now on the first of each slice feed the second."""
        self.restored.clear()
        for first, second in self.keepers:
            assert second.holder is not None
            self._tell([first], Feed(second.holder))

    def _start(self, number: int, node: str, *, first: bool) -> _Life:
        start, stop = self.bounds[number]
        life = _Life(next(self.numbers), number, filled=first)
        self.lives[life.number] = life
        begins = self.restored[number] if self.restored else self.initial[start:stop].clone()
        post = Post(
            life=life.number,
            slice=number,
            rule=self.setup.rule,
            ema=self.setup.ema,
            like=self.initial.new_empty(stop - start),
            begins=begins if first else None,
            rows=self.setup.workers,
            compression=self.compression,
            server=self.address,
            keys=self.keys,
        )
        # Beside its work it hands its state over, and takes another's.
        self.cluster.start(life.name, Shard, post, cpus=0, node=node, calls=4)
        return life

    def _tell(self, lives: Sequence[_Life], order: Message) -> None:
        for life in lives:
            self.wire.send(order, peer=life.name)

    def _all(self) -> Iterator[_Life]:
        return itertools.chain.from_iterable(self.keepers)

    def life_of(self, peer: bytes) -> _Life | None:
        """The shard of this name, if it is one that lives."""
        known = peer[:1] == b"s" and peer[1:].isdigit()
        return self.lives.get(int(peer[1:])) if known else None

    def take(self, life: _Life, letter: Letter) -> list[Push]:
        """A shard's message; the pushes that are complete by it."""
        match letter.message:
            case Hello(pid, node, holder):
                life.holder = holder
                self.cluster.settled(life.name, node, pid)
                if life in self.keepers[life.slice]:
                    self._part(self.keepers[life.slice])
                else:
                    self._second_is_there(life, node)
            case Filled():
                life.filled = True
            case Received(key, finite):
                if not self.pushes.received(key, life.number, finite=finite):
                    self._tell([life], Discard(key))
                return self._complete()
            case Copied(number) if number == self.copy_number:
                start, stop = self.bounds[life.slice]
                params, evaluated = (
                    letter.tensor(index, self.initial.dtype, stop - start).clone()
                    for index in range(2)
                )
                self.copies[life.slice] = (params, evaluated)
        return []

    def _part(self, lives: list[_Life]) -> None:
        """Before the run: a second that has come to be where the first is begins elsewhere."""
        first, second = lives[0], lives[-1]
        if first is second or first.holder is None or second.holder is None:
            return
        if self._misplaced(second.holder.node, first.holder):
            self._stop(second)
            lives[1] = self._start(first.slice, self._elsewhere(first.holder)[0], first=True)

    def _second_is_there(self, life: _Life, node: str) -> None:
        """The first's state goes to it, and from now on it counts."""
        lives = self.keepers[life.slice]
        first = lives[0].holder
        assert life.holder is not None
        if first is not None and self._misplaced(node, first):
            self._stop(life)
            self._begin_second(life.slice)
            return
        number = next(self.freezings)
        self._tell(lives[:1], Feed(life.holder))
        self._tell(lives[:1], Freeze(number))
        self.cluster.hand_over(lives[0].name, number, life.name)
        lives.append(life)

    def _misplaced(self, node: str, first: Holder) -> bool:
        """Whether a second on this node is none: two on one node are gone together.

        Ray had no room elsewhere, or did not know yet that a node was gone or there.
        """
        return node == first.node and bool(self._elsewhere(first))

    def _stop(self, life: _Life) -> None:
        self.cluster.stop(life.name)
        del self.lives[life.number]

    def computed(self, key: Key, done: Computed, buffers: Tensor | None) -> list[Push]:
        """A worker has pushed; the pushes that are complete by it."""
        self.pushes.computed(key, done, buffers)
        return self._complete()

    def _complete(self) -> list[Push]:
        return self.pushes.complete([life.number for life in self._all()])

    def awaits(self, worker: int) -> bool:
        """Whether something of a push of this worker is still on its way."""
        return self.pushes.pending(worker)

    def left(self, worker: int, incarnation: int) -> None:
        """A worker is gone: what it had begun to push will not be applied."""
        for key in self.pushes.left(worker, incarnation):
            self._tell(list(self._all()), Discard(key))

    def carry_out(
        self,
        commands: Sequence[Any],
        node_of: Callable[[int], str],
        shares: Callable[[int], bool],
    ) -> None:
        """Tell the shards what the machine has decided.

        node_of: of a worker. shares: whether others are there, too.
        """
        for step in self.rule.steps:
            self._tell(list(self._all()), self.pushes.step(step))
        self.rule.steps.clear()
        for command in commands:
            if isinstance(command, Verdict):
                # What comes twice has been told already what becomes of it.
                if command.outcome not in (Outcome.APPLIED, Outcome.DUPLICATE):
                    self.refuse(Key(command.worker, command.incarnation, command.sequence))
            elif isinstance(command, Send):
                who = command.worker
                self._give(command, node_of(who), shares(who))

    def refuse(self, key: Key) -> None:
        """Nothing of a push will be applied."""
        self.pushes.refused(key)
        self._tell(list(self._all()), Discard(key))

    def _give(self, send: Send, node: str, shares: bool) -> None:
        for lives in self.keepers:
            for life in lives:
                near = life.holder is not None and life.holder.node == node
                give = Give(
                    send.worker,
                    send.incarnation,
                    send.version,
                    self.rule.expected_tau,
                    sends=life is lives[0],
                    near=near,
                    host=node if shares and not near else "",
                )
                self._tell([life], give)

    def lost(self, name: bytes) -> tuple[str, list[Push]]:
        """A shard is gone. Returns: why the run cannot go on, if so; pushes that wait no more."""
        life = self.lives.pop(int(name[1:]))
        lives = self.keepers[life.slice]
        if life not in lives:  # one that was to become a second
            self._begin_second(life.slice)
            return "", []
        self.gone.add(life.holder.node if life.holder is not None else "")
        was_first = lives[0] is life
        if was_first and (len(lives) < 2 or not lives[1].filled):
            return f"Both shards of slice {life.slice} are gone, and its parameters with them", []
        lives.remove(life)
        if was_first:
            self.replaced()
        self._begin_second(life.slice)
        return "", self._complete()

    def _begin_second(self, number: int) -> None:
        crowd = [life.holder.node for life in self.lives.values() if life.holder is not None]
        first = self.keepers[number][0].holder
        assert first is not None
        # Ray may take seconds to see that a node is gone whose actors are.
        node = min(
            self._elsewhere(first) or [first.node],
            key=lambda node: (node in self.gone, crowd.count(node)),
        )
        self._start(number, node, first=False)

    def _elsewhere(self, first: Holder) -> list[str]:
        return [node for node in self.cluster.alive() if node != first.node]

    def gather(self, wait: Callable[[], bool]) -> tuple[Tensor, Tensor]:
        """The parameters, and those that are evaluated, of the newest version: two of [P].

        wait: take in messages; whether the run can still bring an answer.
        """
        if self.last is not None and self.last[0] == self.server.version:
            return self.known
        asked: list[_Life] = []
        version = 0
        while len(self.copies) < len(self.bounds) or not asked:
            firsts = [lives[0] for lives in self.keepers]
            if firsts != asked:
                # Asked anew, all of them, should one be lost meanwhile: of one version.
                asked, self.copies = firsts, {}
                self.copy_number += 1
                version = self.server.version
                self._tell(firsts, Copy(self.copy_number))
            if not wait():
                break
        if len(self.copies) == len(self.bounds):
            parts = [self.copies[number] for number in range(len(self.bounds))]
            params, evaluated = (torch.cat(each) for each in zip(*parts, strict=True))
            self.last = (version, params, evaluated)
        self.copies = {}
        return self.known

    def freeze(self) -> Callable[[], list[SliceState]]:
        """Have the states copied as they are between two steps; what is returned fetches them."""
        number, firsts = next(self.freezings), [lives[0] for lives in self.keepers]
        self._tell(firsts, Freeze(number))
        return self.cluster.fetch([f.name for f in firsts], number, patience=self.patience)

    def put_back(self, images: Sequence[Image]) -> None:
        """The shards will begin with these states. Raises: ValueError for those of other slices."""
        if len(images) != len(self.bounds):
            raise ValueError(
                f"Expected a checkpoint of {len(self.bounds)} slices, got {len(images)}; "
                "go on with as many servers as the run had."
            )
        awaited = self.pushes.awaiting
        for (start, stop), image in zip(self.bounds, images, strict=True):
            fresh = SliceKeeper.new(
                self.setup.rule, self.initial[start:stop].clone(), ema=self.setup.ema
            )
            put_back(image, fresh.state)
            # What had come of other pushes is of workers that are gone.
            state = fresh.state
            state.waiting = {key: values for key, values in state.waiting.items() if key in awaited}
            state.refused.clear()
            self.restored.append(state)
        keepers = [SliceKeeper(self.setup.rule, state) for state in self.restored]
        params = torch.cat([keeper.state.params for keeper in keepers])
        evaluated = torch.cat([keeper.evaluation_params for keeper in keepers])
        self.last = (self.server.version, params, evaluated)

    @property
    def known(self) -> tuple[Tensor, Tensor]:
        """What was gathered last: of the newest version, unless the run has failed."""
        return (self.initial, self.initial) if self.last is None else self.last[1:]

    def end(self) -> None:
        """Tell all shards to end."""
        self._tell(list(self.lives.values()), Stop())
