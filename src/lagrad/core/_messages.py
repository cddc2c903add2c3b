"""What the server is told (events) and what it answers (commands).

Every message is an immutable value without behaviour; msgspec's structs, since a server makes
several of them for every gradient and they are made several times faster than dataclasses.
Tensors ride along by reference; the runtime that carries them decides whether they travel by copy,
shared memory or network.
"""

from enum import StrEnum

import msgspec
from torch import Tensor

from ._leases import Lease


class Join(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A worker is there. A second Join of the same worker needs a higher incarnation."""

    worker: int
    incarnation: int = 0
    time: float = 0.0


class Leave(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A worker is gone: by itself, crashed or given up. Its lease returns to the pool.

    failed: whether it went over what it was computing, as far as can be told: its code raised, it
    hung, something killed it. A lease over which that happens again and again is set aside.
    """

    worker: int
    incarnation: int = 0
    time: float = 0.0
    failed: bool = False


class Pull(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A worker asks for parameters and samples: a Send answers, now or later; to a stranger, a
    Shutdown. batch_size: how many samples, >= 1; None: as many as the run has it.
    """

    worker: int
    incarnation: int = 0
    time: float = 0.0
    batch_size: int | None = None


class Push(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A worker delivers a gradient; answered by exactly one Verdict, now or later.

    (worker, incarnation, sequence) names the push; sequence counts from 0 in an incarnation.
    version: of the parameters the gradient was computed at. lease: its number.
    values: [P], not modified, and unchanged by its owner until it is sent the next point.
    loss: mean loss of the batch, None if it is not told. buffers: [B] float64 or None for a model
    without buffers. rates: see `Gradient`. finite: whether all values are; length: their norm by
    `lagrad.core.length`; each where whoever delivers them has looked.
    """

    worker: int
    incarnation: int = 0
    sequence: int
    version: int
    lease: int
    values: Tensor
    loss: float | None = 0.0
    buffers: Tensor | None = None
    rates: tuple[float, ...] = ()
    finite: bool | None = None
    length: float | None = None
    time: float = 0.0


class Tick(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Time has passed: sent when `Server.next_tick` has come, for policies with a deadline."""

    time: float


Event = Join | Leave | Pull | Push | Tick


class Send(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Give the worker these parameters, buffers and samples.

    point: [P], where the worker is to differentiate. It may be the server's own memory: a runtime
    copies it to what the worker owns before the next event, unless whoever holds the parameters
    steps elsewhere as long as somebody computes at them.
    """

    worker: int
    incarnation: int
    version: int
    lease: Lease
    point: Tensor
    buffers: Tensor | None = None


class Outcome(StrEnum):
    """The four fates of a push."""

    APPLIED = "applied"
    DROPPED = "dropped"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one push.

    tau: staleness in versions, counted before the step's own bump (None for a push that has none:
    duplicates and rejections). weight: the factor that the rule gives an applied gradient for its
    staleness (`Rule.weight_of`); a shortening to the usual length (`Clipped`) is not in it.
    reason: empty if applied, else a sentence.
    """

    worker: int
    incarnation: int
    sequence: int
    outcome: Outcome
    tau: int | None = None
    weight: float = 0.0
    reason: str = ""


class Shutdown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """This incarnation has no place in the run and shall end."""

    worker: int
    incarnation: int
    reason: str


class Quarantine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """This worker is sent no work before version `until`: too many bad gradients."""

    worker: int
    incarnation: int
    until: int


class SetAside(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Nobody is sent this lease any more: so many workers have failed over it."""

    lease: Lease
    failures: int


class RollBack(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The step that made `version` was undone, with those before it: the loss had jumped.

    to: the version whose parameters, rule state and buffers there are now; versions count on.
    """

    version: int
    to: int


Command = Send | Verdict | Shutdown | Quarantine | SetAside | RollBack
