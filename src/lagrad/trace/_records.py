"""The lines of a trace: one record per event and command, without the tensors."""

import math

import msgspec
from torch import Tensor

from lagrad.core import (
    Command,
    Event,
    Join,
    Lease,
    Leave,
    Outcome,
    Pull,
    Push,
    Quarantine,
    RollBack,
    Send,
    SetAside,
    Shutdown,
    Tick,
    Verdict,
)

#: The server among the workers of a fault's line.
SERVER = -1


class Record(msgspec.Struct, frozen=True, tag_field="is", gc=False):
    """A line of the trace."""


class Joined(Record, frozen=True, gc=False, tag="join"):
    """A worker joined."""

    time: float
    worker: int
    incarnation: int


class Left(Record, frozen=True, gc=False, tag="leave", omit_defaults=True):
    """A worker left. failed: over what it was computing."""

    time: float
    worker: int
    incarnation: int
    failed: bool = False


class Pulled(Record, frozen=True, gc=False, tag="pull", omit_defaults=True):
    """A worker asked for parameters, and for so many samples; None: as many as the run has it."""

    time: float
    worker: int
    incarnation: int
    batch_size: int | None = None


class Pushed(Record, frozen=True, gc=False, tag="push", omit_defaults=True):
    """A worker delivered a gradient. rates: factors on the learning rate that came with it."""

    time: float
    worker: int
    incarnation: int
    sequence: int
    version: int
    lease: int
    loss: float | None  # None: not told, or not finite, which JSON cannot say
    rates: tuple[float, ...] = ()


class Ticked(Record, frozen=True, gc=False, tag="tick"):
    """The clock struck a deadline."""

    time: float


class Sent(Record, frozen=True, gc=False, tag="send"):
    """The server sent parameters and a lease."""

    worker: int
    incarnation: int
    version: int
    lease: int
    epoch: int
    start: int
    stop: int


class Judged(Record, frozen=True, gc=False, tag="verdict"):
    """The server judged a push."""

    worker: int
    incarnation: int
    sequence: int
    outcome: Outcome
    tau: int | None
    weight: float
    reason: str


class ToldToEnd(Record, frozen=True, gc=False, tag="shutdown"):
    """The server told an incarnation to end."""

    worker: int
    incarnation: int
    reason: str


class Quarantined(Record, frozen=True, gc=False, tag="quarantine"):
    """The server sends a worker no work until a version."""

    worker: int
    incarnation: int
    until: int


class PutAside(Record, frozen=True, gc=False, tag="aside"):
    """The server sends nobody this lease any more, over which so many workers have failed."""

    lease: int
    failures: int


class RolledBack(Record, frozen=True, gc=False, tag="rollback"):
    """At `version` the server went back to the parameters of version `to`."""

    version: int
    to: int


class Struck(Record, frozen=True, gc=False, tag="fault"):
    """A fault that was asked for happened: what it hit is the next line of that worker.

    number: its place in the run's list of faults. kind: "kill", "drop" and so on. worker: -1 for
    the server.
    """

    time: float
    number: int
    kind: str
    worker: int


class Ended(Record, frozen=True, gc=False, tag="end"):
    """The run is over: `digest` is the SHA-256 of the final parameters' bytes."""

    version: int
    stopped: str
    digest: str


AnyRecord = (
    Joined
    | Left
    | Pulled
    | Pushed
    | Ticked
    | Sent
    | Judged
    | ToldToEnd
    | Quarantined
    | PutAside
    | RolledBack
    | Struck
    | Ended
)


def of_event(event: Event) -> AnyRecord:
    """The record of an event."""
    match event:
        case Push():
            return Pushed(
                event.time,
                event.worker,
                event.incarnation,
                event.sequence,
                event.version,
                event.lease,
                None if event.loss is None or not math.isfinite(event.loss) else event.loss,
                event.rates,
            )
        case Pull():
            return Pulled(event.time, event.worker, event.incarnation, event.batch_size)
        case Join():
            return Joined(event.time, event.worker, event.incarnation)
        case Leave():
            return Left(event.time, event.worker, event.incarnation, event.failed)
        case Tick():
            return Ticked(event.time)


def event_of(record: Joined | Left | Pulled | Ticked) -> Event:
    """The event of which this is the record."""
    match record:
        case Joined(time, worker, incarnation):
            return Join(worker=worker, incarnation=incarnation, time=time)
        case Left(time, worker, incarnation, failed):
            return Leave(worker=worker, incarnation=incarnation, time=time, failed=failed)
        case Pulled(time, worker, incarnation, size):
            return Pull(worker=worker, incarnation=incarnation, time=time, batch_size=size)
        case Ticked(time):
            return Tick(time=time)


def push_of(record: Pushed, values: Tensor, *, loss: float | None, buffers: Tensor | None) -> Push:
    """The push of which this is the record, with what a trace leaves out."""
    return Push(
        worker=record.worker,
        incarnation=record.incarnation,
        sequence=record.sequence,
        version=record.version,
        lease=record.lease,
        values=values,
        loss=loss,
        buffers=buffers,
        rates=record.rates,
        time=record.time,
    )


def of_command(command: Command) -> AnyRecord:
    """The record of a command."""
    match command:
        case Send():
            lease: Lease = command.lease
            return Sent(
                command.worker,
                command.incarnation,
                command.version,
                lease.number,
                lease.epoch,
                lease.start,
                lease.stop,
            )
        case Verdict():
            return Judged(
                command.worker,
                command.incarnation,
                command.sequence,
                command.outcome,
                command.tau,
                command.weight,
                command.reason,
            )
        case Quarantine():
            return Quarantined(command.worker, command.incarnation, command.until)
        case SetAside():
            return PutAside(command.lease.number, command.failures)
        case RollBack():
            return RolledBack(command.version, command.to)
        case Shutdown():
            return ToldToEnd(command.worker, command.incarnation, command.reason)
