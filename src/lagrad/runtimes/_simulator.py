"""Virtual time: the deterministic reference of all runtimes."""

import heapq
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lagrad.core import Command, Join, Pull, Push, Send, Tick
from lagrad.tasks import Differentiator

from ._folder import Folder
from ._result import Result
from ._run import Observer, Run, buffers_at, held_forever
from ._setup import Setup
from ._threads import torch_threads


@dataclass(frozen=True)
class Simulator:
    """Real gradients in virtual time: a heap of finish times, one process, no waiting.

    seconds_per_job: virtual seconds of a job of one unit of the delay model, > 0.
    together: up to so many gradients that wait for their delivery are computed at once, by
    torch.func.vmap, which is faster where a gradient is cheap and workers are many. 1: one by one,
    the reference, whose bits are those of all runtimes; else equal to it but for rounding.
    Torch computes on one thread. Two runs of equal setups give the same trace and the same bits.
    Simultaneous events come in the order in which they were scheduled. Evaluation takes no
    virtual time.
    Raises: ValueError for numbers out of range, or, with `together` above 1, for a model with
    buffers or a loss that vmap does not take; RuntimeError when the policy holds every worker.
    """

    seconds_per_job: float = 1.0
    together: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.seconds_per_job < math.inf:
            raise ValueError(
                f"Expected seconds_per_job > 0, got {self.seconds_per_job}; "
                "use 1 to count in jobs of a healthy worker."
            )
        if self.together < 1:
            raise ValueError(
                f"Expected to compute at least 1 gradient together, got {self.together}; use 1."
            )

    @property
    def evaluate_every(self) -> float:
        """Ten healthy jobs, where a run does not say."""
        return 10.0 * self.seconds_per_job

    @property
    def needs_pickling(self) -> bool:
        """No: everything happens in this process."""
        return False

    def run(
        self,
        setup: Setup,
        *,
        folder: Folder | None = None,
        observe: Observer | None = None,
        differentiator: Differentiator | None = None,
    ) -> Result:
        """Carry out the setup.

        differentiator: of the setup's task and seed, where one is there already.
        """
        with torch_threads(1):
            own = differentiator or Differentiator(setup.task, setup.seed)
            if self.together > 1:
                own.require_together()
            run = Run(setup, own, folder=folder, observe=observe)
            with run.interruptible():
                _Simulation(run, self).go()
                return run.result()


class _Sent(NamedTuple):
    """A version and a copy of what was sent at it."""

    version: int
    point: Tensor


class _Job:
    """What a worker was sent, and, once computed, the loss and buffers that it will deliver."""

    __slots__ = ("buffers", "loss", "point", "send")

    def __init__(self, send: Send, point: Tensor) -> None:
        self.send = send
        self.point: Tensor | None = point  # None: computed
        self.loss = math.nan
        self.buffers: Tensor | None = None


class _Simulation:
    def __init__(self, run: Run, simulator: Simulator) -> None:
        self.run = run
        setup = run.setup
        self.seconds_per_job = simulator.seconds_per_job
        self.together = simulator.together
        self.durations = [setup.delays.stream(w, setup.seed) for w in range(setup.workers)]
        self.finished: list[tuple[float, int, _Job]] = []
        self.scheduled = 0
        self.sequences = [0] * setup.workers
        # A gradient depends on its point and lease alone, so it may be computed at any time between
        # its dispatch and its delivery: when `together` wait for it, or one of them is delivered.
        self.waiting: list[_Job] = []
        self.sent = _Sent(-1, torch.empty(0))
        # A worker's vector is free again once its push has been answered by the next Send.
        self.gradients = torch.empty(
            (setup.workers, run.server.params.numel()), dtype=run.server.params.dtype
        )
        self.rows = list(self.gradients)
        self.next_evaluation = setup.evaluate_every
        self.last_tick = -math.inf

    def go(self) -> None:
        run = self.run
        workers = range(run.setup.workers)
        for worker in workers:
            run.handle(Join(worker=worker))
        for worker in workers:
            self.carry_out(run.handle(Pull(worker=worker)))
        while run.stopped is None:
            tick = run.server.next_tick()
            due = self.finished[0][0] if self.finished else math.inf
            if tick is not None and self.last_tick < tick < due:
                self.last_tick = tick
                self.advance_to(tick)
                if run.stopped is None:
                    self.carry_out(run.handle(Tick(time=tick)))
                continue
            if not self.finished:
                run.fail(held_forever(run.setup.policy))
                break
            self.advance_to(due)
            if run.stopped is not None:
                break
            _, _, job = heapq.heappop(self.finished)
            self.carry_out(run.handle(self.deliver(job, due)))
            if run.stopped is None:
                self.carry_out(run.handle(Pull(worker=job.send.worker, time=due)))
            run.show()
        run.final_evaluation(self.evaluate)

    def advance_to(self, time: float) -> None:
        run = self.run
        if run.setup.until.seconds is not None:
            time = min(time, run.setup.until.seconds)
        if self.next_evaluation <= time:
            # Nothing changes before `time`: one evaluation serves all that are due until then.
            run.now = self.next_evaluation
            every = run.setup.evaluate_every
            later = every * (time // every + 1)
            self.next_evaluation = max(later, math.nextafter(time, math.inf))
            self.evaluate()
            run.look_at_budget()
        if run.stopped is None:
            run.now = time
            run.look_at_budget()

    def evaluate(self) -> None:
        run = self.run
        params = run.server.evaluation_params
        buffers = buffers_at(params, run.server, run.differentiator, run.setup.buffers)
        scores = run.differentiator.evaluate(params, buffers)
        run.evaluated(scores, moment=run.moment(), params=params, buffers=buffers)

    def carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Send):
                self.dispatch(command)

    def dispatch(self, send: Send) -> None:
        finish = self.run.now + next(self.durations[send.worker]) * self.seconds_per_job
        job = _Job(send, self.kept(send))
        self.scheduled += 1
        heapq.heappush(self.finished, (finish, self.scheduled, job))
        self.waiting.append(job)
        if len(self.waiting) >= self.together:
            self.compute()

    def kept(self, send: Send) -> Tensor:
        """The point as it is now: copied once a version, if the gradient is not computed yet."""
        if self.together == 1:
            return send.point
        if self.sent.version != send.version:
            self.sent = _Sent(send.version, send.point.clone())
        return self.sent.point

    def compute(self) -> None:
        """All gradients that wait for it."""
        jobs, self.waiting = self.waiting, []
        differentiator = self.run.differentiator
        if self.together == 1:
            (job,) = jobs
            send, point = job.send, job.point
            assert point is not None
            buffers = differentiator.initial_buffers() if send.buffers is None else send.buffers
            job.loss, after = differentiator(
                point, send.lease, buffers=buffers, out=self.rows[send.worker]
            )
            job.buffers = None if send.buffers is None else after
        else:
            points = torch.stack([job.point for job in jobs if job.point is not None])
            found, losses = differentiator.together(points, [job.send.lease for job in jobs])
            workers = torch.tensor([job.send.worker for job in jobs])
            self.gradients.index_copy_(0, workers, found)
            for job, loss in zip(jobs, losses, strict=True):
                job.loss = loss
        for job in jobs:
            job.point = None  # its last reader is gone

    def deliver(self, job: "_Job", time: float) -> Push:
        """The push of a finished job."""
        if job.point is not None:
            self.compute()
        send = job.send
        worker = send.worker
        sequence = self.sequences[worker]
        self.sequences[worker] = sequence + 1
        return Push(
            worker=worker,
            incarnation=send.incarnation,
            sequence=sequence,
            version=send.version,
            lease=send.lease.number,
            values=self.rows[worker],
            loss=job.loss,
            buffers=job.buffers,
            time=time,
        )
