"""The process of a worker: waits for a lease, computes a gradient, delivers it.

Tensors lie in memory shared with the server; what travels through the pipe are small msgpack
messages. The process ends when it is told to, or when the server's end of the pipe is gone. On
SIGTERM it delivers the gradient that it is computing, and says that it leaves; a lease that it
sleeps over, to be slow, returns with it.
"""

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from lagrad._forking import give_back_freed_memory
from lagrad.core import Lease, decoded, length, own_accelerator
from lagrad.delays import Delays
from lagrad.runtimes._memory import Region
from lagrad.runtimes._notice import AskedToEnd, Notice
from lagrad.runtimes._pulse import Pulse, while_connected
from lagrad.runtimes._result import finite
from lagrad.runtimes.wire._bounded import receive
from lagrad.tasks import Differentiator, Task

#: The operating system counts the milliseconds of a poll in 31 bits.
_LONGEST_POLL_S = 2.0e6


class Compute(msgspec.Struct, frozen=True, tag="compute"):
    """Differentiate at the point in this row on these samples."""

    version: int
    lease: Lease
    row: int


class Evaluate(msgspec.Struct, frozen=True, tag="evaluate"):
    """Score the shared point; first make its BatchNorm statistics anew if asked."""

    recalibrate: bool


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model and the data are there."""


class Computed(msgspec.Struct, frozen=True, tag="computed"):
    """The gradient lies in shared memory."""

    sequence: int
    version: int
    lease: int
    loss: float | None  # None: not finite
    finite: bool  # the gradient
    length: float | None = None  # its norm, if it is finite and was asked for


class Evaluated(msgspec.Struct, frozen=True, tag="evaluated"):
    """The scores of the shared point; a score that is not finite is None."""

    scores: dict[str, float | None]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The task's code raised; the process ends."""

    traceback: str


class Leaving(msgspec.Struct, frozen=True, tag="leaving"):
    """Somebody has asked the process to end; what it was sent it will not compute."""


ToWorker = Compute | Evaluate | Stop
FromWorker = Ready | Computed | Evaluated | Failed | Leaving

encode = msgspec.msgpack.Encoder().encode
_to_worker = msgspec.msgpack.Decoder[ToWorker](ToWorker)
_from_worker = msgspec.msgpack.Decoder[FromWorker](FromWorker)


def decode(message: bytes) -> FromWorker:
    """A message of a worker, as the server reads it. Raises: Unreadable for anything else."""
    read: FromWorker = decoded(_from_worker.decode, message)
    return read


def decode_order(message: bytes) -> ToWorker:
    """A message of the server, as a worker reads it. Raises: Unreadable for anything else."""
    read: ToWorker = decoded(_to_worker.decode, message)
    return read


@dataclass(frozen=True)
class Slot:
    """The memory that a worker shares with the server, or an evaluator.

    buffers: [B] float64, sent; pushed: [B] float64, after the forward pass. pulse: where its
    process shows that it lives. Of a worker: gradient [P], and points, the rows of all workers. Of
    an evaluator: point [P].
    """

    point: Tensor
    gradient: Tensor
    buffers: Tensor
    pushed: Tensor
    pulse: Pulse
    points: Region | None

    @classmethod
    def allocate(cls, params: Tensor, buffers: Tensor, points: Region | None = None) -> "Slot":
        """New memory that another process can be given; it has no name and dies with us."""
        none = params[:0]
        point, gradient = (params, none) if points is None else (none, params)
        return cls(
            point=_shared(point),
            gradient=_shared(gradient),
            buffers=_shared(buffers),
            pushed=_shared(buffers),
            pulse=Pulse.allocate(),
            points=points,
        )


def _shared(like: Tensor) -> Tensor:
    try:
        memory: Tensor = torch.zeros_like(like).share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        # Where there is no room, PyTorch leaves the file that was to be the memory.
        for name in re.findall(r"</(torch_\w+)>", str(error)):
            Path("/dev/shm", name).unlink(missing_ok=True)
        raise
    return memory


@dataclass(frozen=True)
class Job:
    """What all workers of a run are told when they start, or its evaluator.

    delays: their job times in units of a healthy job; None for an evaluator, which gets no jobs.
    seconds_per_job: of a healthy job; None: as long as the gradient takes. measures: whether the
    server asks for the length of each gradient. device: that computes.
    """

    task: Task
    seed: int
    delays: Delays | None
    seconds_per_job: float | None
    measures: bool = False
    device: str = "cpu"


def work(
    connection: Connection, worker: int, slot: Slot, job: Job, environment: dict[str, str]
) -> None:
    """The life of a worker process. environment: that of the server's process."""
    os.environ.clear()
    os.environ.update(environment)
    _join_group_of_server()
    # Ctrl+C is masked as long as we start (see `Seat.spawn`), and ignored from here on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    torch.set_num_threads(1)
    notice = Notice()
    slot.pulse.beat(while_connected(connection))
    try:
        try:
            with notice.idle():
                device = own_accelerator(job.device, worker)
                differentiator = Differentiator(job.task, job.seed, device=device)
            _send(connection, Ready())
            durations = None if job.delays is None else job.delays.stream(worker, job.seed)
            _serve(connection, slot, job, differentiator, durations=durations, notice=notice)
        except AskedToEnd:
            _send(connection, Leaving())
        except _ServerGone:
            raise
        except Exception:
            _send(connection, Failed(traceback.format_exc()))
            sys.exit(1)
    except _ServerGone:
        return


def _join_group_of_server() -> None:
    """Who stops the group of the server's process, as Ctrl+Z does, stops its workers, too."""
    server = multiprocessing.parent_process()
    if server is not None and server.pid is not None:
        with contextlib.suppress(OSError):  # it is gone, or of another session
            os.setpgid(0, os.getpgid(server.pid))


class _ServerGone(Exception):  # noqa: N818 -- no error: it is told from those of the task's code
    """The other end of the pipe is closed."""


def _send(connection: Connection, message: FromWorker) -> None:
    try:
        connection.send_bytes(encode(message))
    except OSError:
        raise _ServerGone from None


def _receive(connection: Connection) -> ToWorker:
    try:
        return decode_order(receive(connection))
    except (EOFError, OSError):
        raise _ServerGone from None


def _serve(
    connection: Connection,
    slot: Slot,
    job: Job,
    differentiator: Differentiator,
    *,
    durations: Iterator[float] | None,
    notice: Notice,
) -> None:
    sequence = 0
    points: list[Tensor] = []
    if slot.points is not None:
        originals = slot.points.vectors()
        points = slot.points.vectors(private=True)
        differentiator.read_in_place(points)
    while True:
        with notice.idle():
            order = _receive(connection)
        match order:
            case Stop():
                return
            case Evaluate(recalibrate):
                buffers = slot.buffers
                if recalibrate:
                    buffers = differentiator.recalibrate(slot.point)
                    slot.buffers.copy_(buffers)
                scores = differentiator.evaluate(slot.point, buffers)
                _send(
                    connection,
                    Evaluated({name: finite(score) for name, score in scores.items()}),
                )
            case Compute(version, lease, row):
                assert durations is not None
                started = time.monotonic()
                with slot.pulse.computing():
                    loss, pushed, whole = differentiator(
                        points[row], lease, buffers=slot.buffers, out=slot.gradient
                    )
                    slot.pushed.copy_(pushed)
                    norm = finite(length(slot.gradient)) if job.measures else None
                if not differentiator.reads_in_place:
                    # What the loss has written to its private view is not renewed there.
                    points = originals
                elapsed = time.monotonic() - started
                healthy = elapsed if job.seconds_per_job is None else job.seconds_per_job
                # Slowness burns no processor time; a message during it can only be Stop.
                idle = min(max(0.0, next(durations) * healthy - elapsed), _LONGEST_POLL_S)
                # A gradient that nothing keeps back is delivered, whoever asks us to end.
                if idle:
                    with notice.idle():
                        told = connection.poll(idle)
                    if told:
                        continue
                if sequence == 1 and differentiator.reads_in_place:
                    give_back_freed_memory()  # the vectors of a model that now lies in `points`
                done = Computed(sequence, version, lease.number, finite(loss), whole, norm)
                _send(connection, done)
                sequence += 1
