"""A run in virtual time: what follows from what is to come, in order."""

import itertools
import math
import sys
from collections import deque
from collections.abc import Callable

import msgspec
from torch import Tensor

from lagrad.chaos import Kill, Pause, Preempt
from lagrad.core import Command, Join, Leave, Pull, Push, Send, Tick
from lagrad.runtimes._backoff import Backoff
from lagrad.runtimes._keeper import Keeper, all_leave
from lagrad.runtimes._run import Run, held_forever
from lagrad.runtimes._server import buffers_at
from lagrad.tasks import Differentiator
from lagrad.trace import SERVER

from ._agenda import Agenda, Job
from ._gradients import Gradients


class Simulation:
    """The workers of a run and its server, one event after the other; the rest: see `Simulator`."""

    #: What a checkpoint keeps; the gradients first, since pushes have parts of them. The streams of
    #: durations are drawn anew: as often as their workers have pushed.
    CHANGES = (
        "gradients",
        "run",
        "agenda",
        "sequences",
        "next_evaluation",
        "last_tick",
        "restarts_left",
        "lives",
        "paused_until",
        "begun",
        "one_by_one",
    )

    def __init__(
        self,
        run: Run,
        differentiator: Differentiator,
        *,
        seconds_per_job: float,
        restarts: int,
        together: int,
    ) -> None:
        self.run = run
        self.differentiator = differentiator
        setup = run.setup
        self.seconds_per_job = seconds_per_job
        self.durations = [setup.job_times.stream(w, setup.seed) for w in range(setup.workers)]
        #: By worker, of a job that was not begun after all.
        self.drawn: dict[int, float] = {}
        self.agenda = Agenda()
        self.sequences = [0] * setup.workers
        self.gradients = Gradients(differentiator, workers=setup.workers)
        self.together = together
        #: Arrivals that are to be taken in one by one, since one among them is out of the ordinary.
        self.one_by_one = 0
        self.next_evaluation = setup.evaluate_every
        self.last_tick = -math.inf
        self.restarts_left = [restarts] * setup.workers
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
        """All workers join, then all pull."""
        self.begun = True
        workers = range(self.run.setup.workers)
        for worker in workers:
            self.run.handle(Join(worker=worker))
        for worker in workers:
            self.carry_out(self.run.handle(Pull(worker=worker)))

    def go(self, keeper: Keeper) -> None:
        """From the first pull, or where a checkpoint was, to the reason to stop."""
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
        due, happen = (self.agenda.next_time(), self.take_next) if self.agenda else (math.inf, None)
        tick = run.server.next_tick()
        if tick is not None and self.last_tick < tick < due:
            due, happen = tick, self.tick
        if run.setup.chaos:
            fault = run.plan.next_time({"server", *self.lives})
            if fault is not None and fault <= due:
                due, happen = max(fault, run.now), self.strike
        return None if happen is None else (due, happen)

    def tick(self) -> None:
        """The server is told of a moment that it has asked for."""
        self.last_tick = self.run.now
        self.carry_out(self.run.handle(Tick(time=self.run.now)))

    def take_next(self) -> None:
        """What is next on the agenda happens, and what may be taken in with it."""
        if self.exchanges and not self.one_by_one and self.exchange():
            return
        self.one_by_one = max(0, self.one_by_one - 1)
        _, _, event = self.agenda.pop()
        if isinstance(event, Join):
            self.admit(event)
            return
        push = self.computed(event) if isinstance(event, Job) else event
        for arrival in self.run.arrivals(push):
            self.carry_out(self.run.handle(arrival))

    @property
    def exchanges(self) -> bool:
        """Whether many arrivals may be taken in at a time now."""
        return self.together > 1 and self.run.exchanges

    def exchange(self) -> bool:
        """Take in all next arrivals that were under way before the first of them, in order.

        Their points are known, so that their gradients are computed together.
        Returns: False where nothing was done, since the first is no such arrival.
        """
        block, lasting = self.next_block()
        size = min(self.together, self.differentiator.together.at_once)
        for begin in range(0, len(block), size):
            part = [job for _, _, job in block[begin : begin + size]]
            taken = begin + self.take_in(part, lasting[begin : begin + size])
            if taken < begin + len(part):
                for entry, duration in zip(block[taken:], lasting[taken:], strict=True):
                    self.drawn[entry[2].worker] = duration
                    self.agenda.put_back(entry)
                self.one_by_one = len(block) - taken
                return taken > 0
        return bool(block)

    def next_block(self) -> tuple[list[tuple[float, int, Job]], list[float]]:
        """The next entries of the agenda, taken off it, and their workers' next job times.

        All come before the first push that answers one of them, before the next evaluation, and
        none of them spends a budget.
        """
        run, factor = self.run, self.seconds_per_job
        until, leases = run.setup.until, run.server.leases
        end = min(self.next_evaluation, until.seconds or math.inf)
        updates, epochs = until.updates or sys.maxsize, until.epochs or math.inf
        most = updates - run.server.version - 1
        block: list[tuple[float, int, Job]] = []
        lasting: list[float] = []
        soonest, samples = math.inf, 0
        while self.agenda and len(block) < most:
            time, number, job = entry = self.agenda.pop()
            sent = self.gradients.waiting.get(job.worker)
            if (
                sent is None
                or not isinstance(job, Job)
                or time >= end
                or time > soonest
                or leases.epochs_with(samples + sent.lease.samples) >= epochs
            ):
                self.agenda.put_back(entry)
                break
            samples += sent.lease.samples
            duration = self.lasts(job.worker)
            soonest = min(soonest, time + duration * factor)
            block.append((time, number, job))
            lasting.append(duration)
        return block, lasting

    def take_in(self, jobs: list[Job], lasting: list[float]) -> int:
        """Take in these arrivals, up to one that is not finite; how many those were."""
        gradients, losses = self.gradients.several([job.worker for job in jobs])
        sound = _sound(gradients, losses)
        pushes = [
            Push(
                worker=job.worker,
                incarnation=job.incarnation,
                sequence=job.sequence,
                version=job.version,
                lease=job.lease,
                values=values,
                loss=loss,
                finite=True,
                time=job.time,
            )
            for job, values, loss in zip(jobs[:sound], gradients.unbind(), losses, strict=False)
        ]
        sends = self.run.exchange(pushes, gradients[:sound])
        for send, push, duration in zip(sends, pushes, lasting, strict=False):
            worker = send.worker
            self.gradients.waiting[worker] = send
            self.agenda.schedule(
                Job(
                    worker,
                    send.incarnation,
                    self.sequences[worker],
                    send.version,
                    send.lease.number,
                    push.time + duration * self.seconds_per_job,
                )
            )
            self.sequences[worker] += 1
        return len(pushes)

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
        """The worker stands still, and what it computes comes so much later."""
        before = max(self.run.now, self.paused_until.get(fault.worker, 0.0))
        until = max(before, self.run.now + fault.seconds)
        self.paused_until[fault.worker] = until
        event = self.agenda.withdraw(fault.worker)
        if event is not None:
            self.agenda.schedule(msgspec.structs.replace(event, time=event.time + until - before))

    def kill_server(self) -> None:
        """It comes back as it was, and every worker with it, but for what they were computing."""
        run, back = self.run, self.run.now + self.seconds_per_job
        run.failures.append("The server: killed")
        starting = [event for event in self.agenda if isinstance(event, Join)]
        for event in starting:
            self.agenda.withdraw(event.worker)
            self.agenda.schedule(msgspec.structs.replace(event, time=back))
        leaving = all_leave(run)
        for leave in leaving:
            self.lose(leave.worker)
            # Whoever would be sent work by this leaves next.
            run.handle(leave)
        for leave in leaving:
            life = leave.incarnation + 1
            self.agenda.schedule(Join(worker=leave.worker, incarnation=life, time=back))

    def lose(self, worker: int) -> int:
        """A process is gone, with all that was to come of it; which life it had."""
        self.gradients.waiting.pop(worker, None)
        self.agenda.withdraw(worker)
        self.paused_until.pop(worker, None)
        return self.lives.pop(worker)

    def kill(self, worker: int) -> None:
        """Its process is gone, and comes back while it has restarts left."""
        self.run.failures.append(f"Worker {worker}: killed")
        again = self.run.now if self.restarts_left[worker] else None
        self.restarts_left[worker] -= again is not None
        self.leave(worker, again)

    def preempt(self, worker: int) -> None:
        """It leaves in order, and its place is filled again after a pause."""
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
            self.agenda.schedule(Join(worker=worker, incarnation=life + 1, time=ready))

    def admit(self, event: Join) -> None:
        """A new process is ready; it counts its pushes and draws its job times from the start."""
        run, worker = self.run, event.worker
        self.lives[worker] = event.incarnation
        self.sequences[worker] = 0
        self.durations[worker] = run.setup.job_times.stream(worker, run.setup.seed)
        for message in (event, Pull(worker=worker, incarnation=event.incarnation, time=event.time)):
            self.carry_out(run.handle(message))

    def advance_to(self, time: float) -> None:
        """The clock goes on, with the evaluations that are due before."""
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
        """Score the parameters as they are now."""
        run = self.run
        params = run.server.evaluation_params
        buffers = buffers_at(params, run.server, self.differentiator, run.setup.buffers)
        scores = self.differentiator.evaluate(params, buffers)
        run.evaluated(scores, moment=run.moment(), params=params, buffers=buffers)

    def carry_out(self, commands: list[Command]) -> None:
        """Workers compute at what they are sent."""
        for command in commands:
            if isinstance(command, Send):
                self.dispatch(command)

    def dispatch(self, send: Send) -> None:
        run, worker = self.run, send.worker
        start = max(run.now, self.paused_until.get(worker, 0.0))
        finish = start + self.lasts(worker) * self.seconds_per_job
        job = Job(
            worker,
            send.incarnation,
            self.sequences[worker],
            send.version,
            send.lease.number,
            finish,
        )
        self.sequences[worker] += 1
        if self.together == 1:
            self.agenda.schedule(self.push(job, *self.gradients.alone(send)))
            return
        self.gradients.wait(send)
        if len(self.gradients.waiting) >= self.together and not self.exchanges:
            self.gradients.compute_all()
        self.agenda.schedule(job)

    def lasts(self, worker: int) -> float:
        """The worker's next job time."""
        return self.drawn.pop(worker) if worker in self.drawn else next(self.durations[worker])

    def push(
        self, job: Job, loss: float, buffers: Tensor | None = None, finite: bool | None = None
    ) -> Push:
        return Push(
            worker=job.worker,
            incarnation=job.incarnation,
            sequence=job.sequence,
            version=job.version,
            lease=job.lease,
            values=self.gradients.vectors[job.worker],
            loss=loss,
            finite=finite,
            buffers=buffers,
            time=job.time,
        )

    def computed(self, job: Job) -> Push:
        """Its push, whose gradient is computed now at the latest."""
        # Those that are left are computed in the order in which they come, if many may be.
        return self.push(job, self.gradients.loss_of(job.worker, alone=self.exchanges))


def _sound(gradients: Tensor, losses: list[float]) -> int:
    """How many come before the first of which the loss or an element is not finite."""
    finite = [math.isfinite(loss) for loss in losses]
    # A sum is finite only if its terms are.
    if not bool(gradients.sum(1).isfinite().all()):
        finite = [
            a and b for a, b in zip(finite, gradients.isfinite().all(1).tolist(), strict=True)
        ]
    return len(finite) if all(finite) else finite.index(False)
