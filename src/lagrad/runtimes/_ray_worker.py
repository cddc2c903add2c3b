"""A worker of a Ray run: an actor that waits for a lease, computes a gradient, delivers it."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lagrad.delays import Delays
from lagrad.tasks import Differentiator, Task

from ._cluster import own_node
from ._memory import Place
from ._result import finite
from ._wire import Address, Compute, Computed, Letter, Stop, Wire, name_of, own_hello

#: The operating system counts the milliseconds of a poll in 31 bits.
_LONGEST_POLL_S = 2.0e6


@dataclass(frozen=True)
class Job:
    """What a worker is told when it starts.

    points, gradients: of the server's host; a worker there finds and leaves its vectors in them.
    """

    task: Task
    seed: int
    worker: int
    incarnation: int
    delays: Delays
    seconds_per_job: float | None
    server: Address
    points: Place
    gradients: Place


class Worker:
    """The actor. It ends when it is told to, or by Ray when the server's process is gone.

    path: where the server's process finds modules; the task's may lie there on this host too.
    """

    def __init__(self, path: list[str]) -> None:
        sys.path += [place for place in path if place not in sys.path]

    def work(self, job: Job) -> None:
        """Its life."""
        torch.set_num_threads(1)
        differentiator = Differentiator(job.task, job.seed)
        node = own_node()
        wire = Wire.connect(job.server, name_of(job.worker, job.incarnation))
        try:
            wire.send(own_hello(node))
            _Bench(job, differentiator, wire, shares=node == job.points.node).serve()
        finally:
            wire.close()


class _Bench:
    def __init__(
        self, job: Job, differentiator: Differentiator, wire: Wire, *, shares: bool
    ) -> None:
        self.differentiator = differentiator
        self.wire = wire
        self.seconds_per_job = job.seconds_per_job
        self.durations: Iterator[float] = job.delays.stream(job.worker, job.seed)
        self.initial_buffers = differentiator.initial_buffers()
        self.points: Tensor | None = None
        if shares:
            self.points = job.points.open()
            self.gradient = job.gradients.open()[job.worker]
        else:
            self.gradient = torch.empty_like(differentiator.initial_params())
        self.sequence = 0

    def serve(self) -> None:
        while self.wire.poll(_LONGEST_POLL_S):
            letter = self.wire.receive()
            if letter is not None and isinstance(letter.message, Compute):
                self._compute(letter.message, letter)
            elif letter is not None and isinstance(letter.message, Stop):
                return

    def _compute(self, order: Compute, letter: Letter) -> None:
        started = time.monotonic()
        buffers = self.initial_buffers
        if buffers.numel():
            buffers = letter.tensor(0, buffers.dtype, buffers.numel())
        if order.row is None:
            point = letter.tensor(-1, self.gradient.dtype, self.gradient.numel())
        else:
            assert self.points is not None
            point = self.points[order.row]
        loss, pushed = self.differentiator(point, order.lease, buffers=buffers, out=self.gradient)
        tensors = [pushed] if pushed.numel() else []
        if order.row is None:
            tensors.append(self.gradient)
        elapsed = time.monotonic() - started
        healthy = elapsed if self.seconds_per_job is None else self.seconds_per_job
        # Slowness burns no processor time; a message during it can only be Stop.
        idle = min(max(0.0, next(self.durations) * healthy - elapsed), _LONGEST_POLL_S)
        if idle and self.wire.poll(idle):
            return
        done = Computed(self.sequence, order.version, order.lease.number, finite(loss))
        self.wire.send(done, *tensors)
        self.sequence += 1
