"""A worker of a Ray run: an actor that waits for a lease, computes a gradient, delivers it.

On SIGTERM it delivers the gradient that it is computing, and says that it leaves; a lease that it
sleeps over, to be slow, returns with it. Ray's own answer would be to end the process in the midst.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from lagrad.core import length, own_accelerator
from lagrad.delays import Delays
from lagrad.runtimes._memory import Region
from lagrad.runtimes._notice import AskedToEnd, Notice
from lagrad.runtimes._pulse import Pulse
from lagrad.runtimes._result import finite
from lagrad.runtimes.wire._compression import Compression, Compressor
from lagrad.runtimes.wire._messages import (
    Compute,
    Computed,
    Holders,
    Leaving,
    Missed,
    Part,
    Spot,
    Stop,
)
from lagrad.runtimes.wire._pulses import beating
from lagrad.runtimes.wire._wire import Address, Letter, Wire, name_of, own_hello, poll
from lagrad.tasks import Differentiator, Task

from ._cluster import own_node
from ._host_memory import HostMemory
from ._parts import Parts

_DAY_S = 86400.0
#: How long the server may take to see to it that nothing is lost of who leaves, in seconds.
_GRACE_S = 10.0


@dataclass(frozen=True)
class Job:
    """What a worker is told when it starts.

    regions: of the points and the gradients on the server's host; a worker there finds and leaves
    its vectors in them. None: the vector is in shards, of which `cuts` are the (start, stop).
    compression: of gradients that go to other hosts. device: that computes.
    """

    task: Task
    seed: int
    worker: int
    incarnation: int
    delays: Delays
    seconds_per_job: float | None
    server: Address
    regions: tuple[Region, Region] | None
    cuts: tuple[tuple[int, int], ...]
    compression: Compression | None
    device: str


class Worker:
    """The actor. It ends when it is told to, or by Ray when the server's process is gone.

    path: where the server's process finds modules; the task's may lie there on this host too.
    """

    def __init__(self, path: list[str]) -> None:
        sys.path += [place for place in path if place not in sys.path]

    def work(self, job: Job) -> None:
        """Its life."""
        torch.set_num_threads(1)
        name = name_of(job.worker, job.incarnation)
        notice, wire = Notice(), Wire.connect(job.server, name)
        try:
            with beating(job.server, name) as pulse:
                self._work(job, wire, notice, pulse)
        finally:
            wire.close()
            notice.end()

    @staticmethod
    def _work(job: Job, wire: Wire, notice: Notice, pulse: Pulse) -> None:
        try:
            with notice.idle():
                device = own_accelerator(job.device, job.worker)
                differentiator = Differentiator(job.task, job.seed, device=device)
                node = own_node()
            wire.send(own_hello(node))
            _Bench(job, differentiator, wire, node, notice=notice, pulse=pulse).serve()
        except _Over:
            return
        except AskedToEnd:
            wire.send(Leaving())
            until = time.monotonic() + _GRACE_S
            while (left := until - time.monotonic()) > 0 and poll([wire], left):
                letter = wire.receive()
                if letter is not None and isinstance(letter.message, Stop):
                    return


class _Over(Exception):  # noqa: N818 -- no error
    """The worker was told to end."""


class _Bench:
    def __init__(
        self,
        job: Job,
        differentiator: Differentiator,
        wire: Wire,
        node: str,
        *,
        notice: Notice,
        pulse: Pulse,
    ) -> None:
        self.differentiator = differentiator
        self.wire = wire
        self.notice, self.pulse = notice, pulse
        self.seconds_per_job = job.seconds_per_job
        self.durations: Iterator[float] = job.delays.stream(job.worker, job.seed)
        self.initial_buffers = differentiator.initial_buffers()
        self.points: Tensor | None = None
        self.parts: Parts | None = None
        like = differentiator.initial_params()
        self.gradient = torch.empty_like(like)
        self.host = HostMemory(node, like)
        if job.regions is None:
            self.parts = Parts(
                like,
                job.cuts,
                job.server,
                worker=job.worker,
                incarnation=job.incarnation,
                node=node,
                compression=job.compression,
            )
        elif job.regions[0].node == node:
            self.points = job.regions[0].open()
            self.gradient = job.regions[1].open()[job.worker]
        self.compressed = Compressor(job.compression, like) if job.compression else None
        self.sequence = 0
        self.order: Compute | None = None
        self.buffers = self.initial_buffers
        self.point: Tensor | None = None

    def serve(self) -> None:
        while True:
            with self.notice.idle():
                self._listen(_DAY_S)
            if self.order is not None and self.point is not None:
                self._compute(self.order, self.point)

    def _listen(self, seconds: float) -> None:
        """Wait for messages, at most so long, and take in what has come."""
        sources = [self.wire] if self.parts is None else [self.wire, *self.parts.wires]
        if not poll(sources, seconds):
            return
        for wire in sources:
            # One message may have been that a shard is gone, and its wire with it.
            while not wire.closed and (letter := wire.receive()) is not None:
                self._take(letter)

    def _take(self, letter: Letter) -> None:
        match letter.message:
            case Compute() as order:
                self.order = order
                if self.initial_buffers.numel():
                    like = self.initial_buffers
                    self.buffers = letter.tensor(0, like.dtype, like.numel())
                if self.parts is not None:
                    self.point = self.parts.point(order.version)
                elif order.row is not None:
                    assert self.points is not None
                    self.point = self.points[order.row]
                elif order.spot is not None:
                    self.point = self._at_host(letter, order, order.spot)
                else:
                    self.point = letter.tensor(-1, self.gradient.dtype, self.gradient.numel())
            case Part():
                assert self.parts is not None
                self.parts.take(letter)
                if self.order is not None:
                    self.point = self.parts.point(self.order.version)
            case Holders(table):
                assert self.parts is not None
                self.parts.turn_to(table)
                if self.order is not None and self.point is None:
                    self.wire.send(Missed(self.order.version))
                    self.order = None
            case Stop():
                raise _Over

    def _at_host(self, letter: Letter, order: Compute, spot: Spot) -> Tensor | None:
        """The point in the memory that workers of this host share."""
        if not spot.brings:
            point = self.host.read(spot)
            if point is None:
                self.wire.send(Missed(order.version))
                self.order = None
            return point
        sent = letter.tensor(-1, self.gradient.dtype, self.gradient.numel())
        point, brought = self.host.write(spot, order.version, sent)
        if brought is not None:
            self.wire.send(brought)
        return point

    def _compute(self, order: Compute, point: Tensor) -> None:
        started = time.monotonic()
        if self.parts is not None:
            self.parts.begin()
        with self.pulse.computing():
            loss, pushed, _ = self.differentiator(
                point, order.lease, buffers=self.buffers, out=self.gradient
            )
        elapsed = time.monotonic() - started
        self.order = self.point = None
        healthy = elapsed if self.seconds_per_job is None else self.seconds_per_job
        # Slowness burns no processor time.
        ends = started + max(elapsed, next(self.durations) * healthy)
        # A gradient that nothing keeps back is delivered, whoever asks us to end.
        idle = ends > started + elapsed
        with self.notice.idle() if idle else nullcontext():
            while (left := ends - time.monotonic()) > 0:
                self._listen(min(left, _DAY_S))
        tensors = [pushed] if pushed.numel() else []
        norm: float | None = None
        if self.parts is not None:
            norm = finite(length(self.gradient))
            self.parts.push(self.sequence, self.gradient)
        elif order.row is None:
            tensors.append(self.compressed(self.gradient) if self.compressed else self.gradient)
        done = Computed(self.sequence, order.version, order.lease.number, finite(loss), norm)
        self.wire.send(done, *tensors)
        self.sequence += 1
