"""Pushes that come in parts: a message of the worker, and a report of every shard."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lagrad.core import Push
from lagrad.runtimes.wire._messages import Apply, Computed, Key, Share

from ._tickets import Step


@dataclass
class _Pending:
    """A push of which something is still to come."""

    done: Computed | None = None
    buffers: Tensor | None = None
    finite: dict[int, bool] = field(default_factory=dict)


class Pushes:
    """Makes a ticket of every push that is complete, once, and knows whose a ticket is."""

    #: What a checkpoint keeps; workers whose pushes are pending do not outlive it.
    CHANGES = ("_settled", "_tickets", "_next_ticket")

    def __init__(self) -> None:
        self._pending: dict[Key, _Pending] = {}
        #: Of each worker the last push that is no longer pending, as (incarnation, sequence).
        self._settled: dict[int, tuple[int, float]] = {}
        self._tickets: dict[int, Key] = {}
        self._next_ticket = 0

    @property
    def awaiting(self) -> set[Key]:
        """Those that are complete and await their step."""
        return set(self._tickets.values())

    def pending(self, worker: int) -> bool:
        """Whether a push of this worker is not complete."""
        return any(key.worker == worker for key in self._pending)

    def computed(self, key: Key, done: Computed, buffers: Tensor | None) -> None:
        """A worker has pushed."""
        pending = self._pending.setdefault(key, _Pending())
        pending.done, pending.buffers = done, buffers

    def received(self, key: Key, life: int, *, finite: bool) -> bool:
        """A shard has its slice of a push. Returns: False where nothing will be applied of it."""
        incarnation, sequence = self._settled.get(key.worker, (-1, -1.0))
        if (key.incarnation, key.sequence) > (incarnation, sequence):
            self._pending.setdefault(key, _Pending()).finite[life] = finite
            return True
        # Its worker was gone before it had pushed it all, unless it awaits its step.
        return sequence != math.inf or key in self.awaiting

    def complete(self, wanted: Collection[int]) -> list[Push]:
        """The pushes of which the worker and all these shards have told; each is given once."""
        keys = [
            key
            for key, pending in self._pending.items()
            if pending.done is not None and all(life in pending.finite for life in wanted)
        ]
        return [self._push(key) for key in keys]

    def _push(self, key: Key) -> Push:
        pending = self._pending.pop(key)
        done = pending.done
        assert done is not None
        self._settled[key.worker] = (key.incarnation, key.sequence)
        finite = all(pending.finite.values()) and done.length is not None
        ticket = [self._next_ticket if finite else math.nan, done.length or 0.0]
        self._tickets[self._next_ticket] = key
        self._next_ticket += 1
        return Push(
            worker=key.worker,
            incarnation=key.incarnation,
            sequence=key.sequence,
            version=done.version,
            lease=done.lease,
            values=torch.tensor(ticket, dtype=torch.float64),
            loss=math.nan if done.loss is None else done.loss,
            buffers=pending.buffers,
        )

    def left(self, worker: int, incarnation: int) -> list[Key]:
        """A worker is gone: the pushes that it had begun, of which nothing will be applied."""
        self._settled[worker] = (incarnation, math.inf)
        begun = [k for k in self._pending if (k.worker, k.incarnation) == (worker, incarnation)]
        for key in begun:
            del self._pending[key]
        return begun

    def step(self, step: Step) -> Apply:
        """A step, as shards are told it."""
        version, taken = step
        return Apply(
            version,
            tuple(
                Share(self._tickets.pop(ticket), tau, samples, length)
                for ticket, tau, samples, length in taken
            ),
        )

    def refused(self, key: Key) -> None:
        """The push will not be applied."""
        self._tickets = {t: known for t, known in self._tickets.items() if known != key}
