"""Virtual time: the deterministic reference of all runtimes."""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from lagrad.chaos import Kill, Pause, Preempt
from lagrad.core import Command, Join, Lease, Leave, Pull, Push, Send, Tick
from lagrad.runtimes._backoff import Backoff
from lagrad.runtimes._folder import Folder
from lagrad.runtimes._keeper import Keeper, all_leave
from lagrad.runtimes._result import Result
from lagrad.runtimes._run import Observer, Run, held_forever
from lagrad.runtimes._server import buffers_at
from lagrad.runtimes._setup import Setup
from lagrad.runtimes._threads import torch_threads
from lagrad.tasks import Differentiator
from lagrad.trace import SERVER


@dataclass(frozen=True)
class Simulator:
    """Real gradients in virtual time: a heap of finish times, one process, no waiting.

    seconds_per_job: virtual seconds of a job of one unit of the delay model, > 0.
    restarts: how often a worker that was killed (`chaos`) is started again, each; a start takes
    one healthy job.
    together: up to so many gradients that wait for their delivery are computed at once, by the
    task's closed form (`Task.gradients`) or torch.func.vmap, which is faster where a gradient is
    cheap and workers are many. 1: one by one, the reference, whose bits are those of all runtimes;
    else equal to it but for rounding.
    Torch computes on one thread. Two runs of equal setups give the same trace and the same bits.
    Simultaneous events come in the order in which they were scheduled. Evaluation takes no
    virtual time.
    Raises: ValueError for numbers out of range, or, with `together` above 1, for a model with
    buffers, a loss that vmap does not take or a closed form that is none; RunFailed where a run
    cannot go on.
    """

    seconds_per_job: float = 1.0
    restarts: int = 0
    together: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.seconds_per_job < math.inf:
            raise ValueError(
                f"Expected seconds_per_job > 0, got {self.seconds_per_job}; "
                "use 1 to count in jobs of a healthy worker."
            )
        if self.restarts < 0:
            raise ValueError(f"Expected restarts >= 0, got {self.restarts}; use 0 for none.")
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
            simulation = _Simulation(run, own, self)
            with run.interruptible():
                with run.shortages(), Keeper(run, folder, simulation) as keeper:
                    if keeper.restore(journals=False):
                        simulation.catch_up()
                    keeper.begin()
                    simulation.go(keeper)
                return run.result()


class _Waiting(NamedTuple):
    """A gradient that is not computed yet: its point, shared by all of one version, and samples."""

    point: Tensor
    lease: Lease


class _Simulation:
    #: What a checkpoint keeps; the gradients first, since others are parts of them. The streams of
    #: durations are drawn anew: as often as their workers have pushed.
    CHANGES = (
        "gradients",
        "run",
        "agenda",
        "scheduled",
        "sequences",
        "waiting",
        "losses",
        "sent",
        "next_evaluation",
        "last_tick",
        "restarts_left",
        "lives",
        "paused_until",
        "begun",
    )

    def __init__(self, run: Run, differentiator: Differentiator, simulator: Simulator) -> None:
        self.run = run
        self.differentiator = differentiator
        setup = run.setup
        self.seconds_per_job = simulator.seconds_per_job
        self.durations = [setup.job_times.stream(w, setup.seed) for w in range(setup.workers)]
        # What is to come: at most one entry a worker, the end of its job or of its start.
        self.agenda: list[tuple[float, int, Push | Join]] = []
        self.scheduled = 0
        self.sequences = [0] * setup.workers
        # A gradient depends on its point and lease alone, so it may be computed at any time between
        # its dispatch and its delivery; a worker's vector is free again once its push has been
        # answered by the next Send.
        self.gradients = torch.empty(
            (setup.workers, run.server.params.numel()), dtype=run.server.params.dtype
        )
        self.together = simulator.together
        self.waiting: dict[int, _Waiting] = {}
        self.losses: dict[int, float] = {}
        self.sent: tuple[int, Tensor] = (-1, torch.empty(0))
        self.next_evaluation = setup.evaluate_every
        self.last_tick = -math.inf
        self.restarts_left = [simulator.restarts] * setup.workers
        self.lives = dict.fromkeys(range(setup.workers), 0)
        self.paused_until: dict[int, float] = {}
        self.begun = False

    def catch_up(self) -> None:
        """Go on as if this process had simulated what the memory that was put back has seen."""
        for worker, drawn in enumerate(self.sequences):
            deque(itertools.islice(self.durations[worker], drawn), maxlen=0)
        if self.run.stopped is None:
            for event in self.run.left_over():
                self.carry_out(self.run.handle(event))

    def begin(self) -> None:
        self.begun = True
        workers = range(self.run.setup.workers)
        for worker in workers:
            self.run.handle(Join(worker=worker))
        for worker in workers:
            self.carry_out(self.run.handle(Pull(worker=worker)))

    def go(self, keeper: Keeper) -> None:
        run = self.run
        if not self.begun:
            self.begin()
        while run.stopped is None:
            upcoming = self.next_due()
            if upcoming is None:
                run.fail(held_forever(run.setup.policy) if self.lives else "Every worker is gone.")
                break
            due, happen = upcoming
            self.advance_to(due)
            if run.stopped is None:
                happen()
                run.show()
                keeper.keep_time()
        keeper.end()
        run.final_evaluation(self.evaluate)

    def next_due(self) -> tuple[float, Callable[[], None]] | None:
        """When the next thing happens, and what; None if nothing ever will."""
        run = self.run
        due, happen = (self.agenda[0][0], self.take_next) if self.agenda else (math.inf, None)
        tick = run.server.next_tick()
        if tick is not None and self.last_tick < tick < due:
            due, happen = tick, self.tick
        if run.setup.chaos:
            fault = run.plan.next_time({"server", *self.lives})
            if fault is not None and fault <= due:
                due, happen = max(fault, run.now), self.strike
        return None if happen is None else (due, happen)

    def tick(self) -> None:
        self.last_tick = self.run.now
        self.carry_out(self.run.handle(Tick(time=self.run.now)))

    def take_next(self) -> None:
        _, _, event = heapq.heappop(self.agenda)
        if isinstance(event, Push):
            if self.together > 1:
                event = msgspec.structs.replace(event, loss=self.loss(event.worker))
            for arrival in self.run.arrivals(event):
                self.carry_out(self.run.handle(arrival))
        else:
            self.admit(event)

    def schedule(self, event: Push | Join) -> None:
        self.scheduled += 1
        heapq.heappush(self.agenda, (event.time, self.scheduled, event))

    def withdraw(self, worker: int) -> Push | Join | None:
        """Take back what was to come of a worker."""
        found = [entry for entry in self.agenda if entry[2].worker == worker]
        self.agenda = [entry for entry in self.agenda if entry[2].worker != worker]
        heapq.heapify(self.agenda)
        return found[0][2] if found else None

    def strike(self) -> None:
        """Carry out the faults that are due."""
        run = self.run
        for number, fault in run.plan.due(run.now, live={"server", *self.lives}):
            if run.stopped is not None:
                return
            if isinstance(fault, Kill) and fault.worker == "server":
                run.struck(number, SERVER)
                self.kill_server()
            elif isinstance(fault, Pause):
                run.struck(number, fault.worker)
                self.pause(fault)
            elif fault.worker in self.lives:  # another kill may have come first
                run.struck(number, fault.worker)
                if isinstance(fault, Preempt):
                    self.preempt(fault.worker)
                else:
                    self.kill(fault.worker)

    def pause(self, fault: Pause) -> None:
        before = max(self.run.now, self.paused_until.get(fault.worker, 0.0))
        until = max(before, self.run.now + fault.seconds)
        self.paused_until[fault.worker] = until
        event = self.withdraw(fault.worker)
        if event is not None:
            self.schedule(msgspec.structs.replace(event, time=event.time + until - before))

    def kill_server(self) -> None:
        """It comes back as it was, and every worker with it, but for what they were computing."""
        run, back = self.run, self.run.now + self.seconds_per_job
        run.failures.append("The server: killed")
        starting = [event for _, _, event in self.agenda if isinstance(event, Join)]
        for event in starting:
            self.withdraw(event.worker)
            self.schedule(msgspec.structs.replace(event, time=back))
        leaving = all_leave(run)
        for leave in leaving:
            self.lose(leave.worker)
            # Whoever would be sent work by this leaves next.
            run.handle(leave)
        for leave in leaving:
            life = leave.incarnation + 1
            self.schedule(Join(worker=leave.worker, incarnation=life, time=back))

    def lose(self, worker: int) -> int:
        """A process is gone, with all that was to come of it; which life it had."""
        self.waiting.pop(worker, None)
        self.withdraw(worker)
        self.paused_until.pop(worker, None)
        return self.lives.pop(worker)

    def kill(self, worker: int) -> None:
        self.run.failures.append(f"Worker {worker}: killed")
        again = self.run.now if self.restarts_left[worker] else None
        self.restarts_left[worker] -= again is not None
        self.leave(worker, again)

    def preempt(self, worker: int) -> None:
        self.run.tallies[worker].preemptions += 1
        place = Backoff(restarts=0)
        place.left(self.run.now)
        self.leave(worker, place.due)

    def leave(self, worker: int, again: float | None) -> None:
        """A worker goes; another life of it starts at the time `again`, if any."""
        run, life = self.run, self.lose(worker)
        self.carry_out(run.handle(Leave(worker=worker, incarnation=life, time=run.now)))
        if again is not None:
            ready = again + self.seconds_per_job
            self.schedule(Join(worker=worker, incarnation=life + 1, time=ready))

    def admit(self, event: Join) -> None:
        """A new process is ready; it counts its pushes and draws its job times from the start."""
        run, worker = self.run, event.worker
        self.lives[worker] = event.incarnation
        self.sequences[worker] = 0
        self.durations[worker] = run.setup.job_times.stream(worker, run.setup.seed)
        for message in (event, Pull(worker=worker, incarnation=event.incarnation, time=event.time)):
            self.carry_out(run.handle(message))

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
        buffers = buffers_at(params, run.server, self.differentiator, run.setup.buffers)
        scores = self.differentiator.evaluate(params, buffers)
        run.evaluated(scores, moment=run.moment(), params=params, buffers=buffers)

    def carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Send):
                self.dispatch(command)

    def dispatch(self, send: Send) -> None:
        run, worker = self.run, send.worker
        if self.together > 1:
            loss, after, whole = None, None, None
            self.waiting[worker] = _Waiting(self.kept(send), send.lease)
            if len(self.waiting) >= self.together:
                self.compute()
        else:
            buffers = (
                self.differentiator.initial_buffers() if send.buffers is None else send.buffers
            )
            loss, after, whole = self.differentiator(
                send.point, send.lease, buffers=buffers, out=self.gradients[worker]
            )
        start = max(run.now, self.paused_until.get(worker, 0.0))
        finish = start + next(self.durations[worker]) * self.seconds_per_job
        push = Push(
            worker=worker,
            incarnation=send.incarnation,
            sequence=self.sequences[worker],
            version=send.version,
            lease=send.lease.number,
            values=self.gradients[worker],
            loss=loss,
            finite=whole,
            buffers=None if send.buffers is None else after,
            time=finish,
        )
        self.sequences[worker] += 1
        self.schedule(push)

    def kept(self, send: Send) -> Tensor:
        """A copy of the point, one for all that are sent it."""
        version, point = self.sent
        if version != send.version:
            point = send.point.clone()
            self.sent = send.version, point
        return point

    def compute(self) -> None:
        """All gradients that wait for it."""
        jobs, self.waiting = self.waiting, {}
        losses = self.differentiator.together(
            [job.point for job in jobs.values()],
            [job.lease for job in jobs.values()],
            out=self.gradients,
            rows=list(jobs),
        )
        self.losses.update(zip(jobs, losses, strict=True))

    def loss(self, worker: int) -> float:
        """Of the worker's gradient, which is computed now at the latest."""
        if worker in self.waiting:
            self.compute()
        return self.losses.pop(worker)
