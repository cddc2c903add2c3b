"""Virtual time: the deterministic reference of all runtimes."""

import heapq
import math
from dataclasses import dataclass

import torch

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
    Torch computes on one thread. Two runs of equal setups give the same trace and the same bits.
    Simultaneous events come in the order in which they were scheduled. Evaluation takes no
    virtual time.
    Raises: ValueError for numbers out of range; RuntimeError when the policy holds every worker.
    """

    seconds_per_job: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.seconds_per_job < math.inf:
            raise ValueError(
                f"Expected seconds_per_job > 0, got {self.seconds_per_job}; "
                "use 1 to count in jobs of a healthy worker."
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
            run = Run(setup, own, folder=folder, observe=observe)
            with run.interruptible():
                _Simulation(run, own, self.seconds_per_job).go()
                return run.result()


class _Simulation:
    def __init__(self, run: Run, differentiator: Differentiator, seconds_per_job: float) -> None:
        self.run = run
        self.differentiator = differentiator
        setup = run.setup
        self.seconds_per_job = seconds_per_job
        self.durations = [setup.delays.stream(w, setup.seed) for w in range(setup.workers)]
        self.finished: list[tuple[float, int, Push]] = []
        self.scheduled = 0
        self.sequences = [0] * setup.workers
        # A gradient depends on its point and lease alone, so it is computed when it is dispatched;
        # a worker's vector is free again once its push has been answered by the next Send.
        self.gradients = torch.empty(
            (setup.workers, run.server.params.numel()), dtype=run.server.params.dtype
        )
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
            _, _, push = heapq.heappop(self.finished)
            self.carry_out(run.handle(push))
            if run.stopped is None:
                self.carry_out(run.handle(Pull(worker=push.worker, time=due)))
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
        buffers = buffers_at(params, run.server, self.differentiator, run.setup.buffers)
        scores = self.differentiator.evaluate(params, buffers)
        run.evaluated(scores, moment=run.moment(), params=params, buffers=buffers)

    def carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Send):
                self.dispatch(command)

    def dispatch(self, send: Send) -> None:
        run, worker = self.run, send.worker
        buffers = self.differentiator.initial_buffers() if send.buffers is None else send.buffers
        loss, after = self.differentiator(
            send.point, send.lease, buffers=buffers, out=self.gradients[worker]
        )
        finish = run.now + next(self.durations[worker]) * self.seconds_per_job
        push = Push(
            worker=worker,
            incarnation=send.incarnation,
            sequence=self.sequences[worker],
            version=send.version,
            lease=send.lease.number,
            values=self.gradients[worker],
            loss=loss,
            buffers=None if send.buffers is None else after,
            time=finish,
        )
        self.sequences[worker] += 1
        self.scheduled += 1
        heapq.heappush(self.finished, (finish, self.scheduled, push))
