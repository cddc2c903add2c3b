"""Processes of one machine: parameters and gradients in shared memory, messages in pipes."""

import math
import selectors
import time
from collections.abc import Iterator
from dataclasses import dataclass

from lagrad.core import Command, Join, Leave, Pull, Push, Send, Shutdown, Tick
from lagrad.tasks import Differentiator

from ._evaluator import Evaluator
from ._folder import Folder
from ._malloc import roomy_malloc
from ._result import Result, Stopped
from ._run import Observer, Run, held_forever
from ._sabotage import Sabotage
from ._seat import Seat
from ._setup import Setup
from ._threads import torch_threads
from ._worker import Compute, Computed, Evaluated, Failed, FromWorker, Ready, Slot

#: Longest sleep of the loop, so that signals and the observer are served, in seconds.
_PULSE_S = 0.1
#: The evaluator's number among the seats.
_EVALUATOR = -1


@dataclass(frozen=True)
class Local:
    """Worker processes on this machine, one torch thread each, and the server in this process.

    restarts: how often a worker that died is started again, each.
    seconds_per_job: of a healthy job of the delay model; jobs are stretched by sleeping. None: a
    job of d units sleeps d - 1 times as long as its gradient took (d < 1 cannot be made).
    The clock starts when every worker is ready. Where the task has scores, an evaluator process
    scores copies of the parameters while training goes on; they count for the copy's moment.
    Raises: ValueError for numbers out of range; RunFailed where a run cannot go on.
    """

    restarts: int = 0
    seconds_per_job: float | None = None

    def __post_init__(self) -> None:
        if self.restarts < 0:
            raise ValueError(f"Expected restarts >= 0, got {self.restarts}; use 0 for none.")
        if self.seconds_per_job is not None and not 0 < self.seconds_per_job < math.inf:
            raise ValueError(
                f"Expected seconds_per_job > 0 or None, got {self.seconds_per_job}; "
                "use None for as long as the gradient takes."
            )

    @property
    def evaluate_every(self) -> float:
        """Two seconds, where a run does not say."""
        return 2.0

    @property
    def needs_pickling(self) -> bool:
        """Yes: workers are spawned."""
        return True

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
        # The workers need the cores: the server's updates are short and run on one thread.
        with torch_threads(1):
            own = differentiator or Differentiator(setup.task, setup.seed)
            run = Run(setup, own, folder=folder, observe=observe)
            crew = _Crew(run, self)
            with run.interruptible():
                try:
                    crew.assemble()
                    crew.train()
                finally:
                    crew.disband()
                return run.result()


class _Crew:
    def __init__(self, run: Run, local: Local) -> None:
        setup, server = run.setup, run.server
        buffers = run.trainee.initial_buffers()
        scores = () if setup.task.evaluate is None else (_EVALUATOR,)
        self.run = run
        self.selector = selectors.DefaultSelector()
        self.seats = {
            number: Seat(
                number=number,
                slot=Slot.allocate(server.params, buffers),
                task=setup.task,
                seed=setup.seed,
                delays=None if number == _EVALUATOR else setup.job_times,
                seconds_per_job=local.seconds_per_job,
            )
            for number in (*range(setup.workers), *scores)
        }
        self.restarts_left = dict.fromkeys(range(setup.workers), local.restarts)
        self.restarts_left[_EVALUATOR] = 1
        self.started = math.inf
        self.evaluator = Evaluator(run, self.seats.get(_EVALUATOR))
        self.sabotage = Sabotage(run, self.seats)

    @property
    def workers(self) -> list[Seat]:
        return [seat for seat in self.seats.values() if seat.number != _EVALUATOR]

    def assemble(self) -> None:
        """Start all processes and wait until each is ready, or killed for good."""
        for seat in self.seats.values():
            self._spawn(seat)
        while self.run.stopped is None and any(
            seat.occupied and not seat.ready for seat in self.seats.values()
        ):
            for seat, message in self._messages(_PULSE_S):
                if self.run.stopped is not None:
                    break  # a signal has ended the workers too, or one of them could not start
                if isinstance(message, Ready):
                    seat.ready = True
                elif isinstance(message, Failed):
                    self.run.fail(f"{_name(seat)} could not start: {message.traceback}")
                else:
                    self._lost(seat)
            self.run.show()

    def _spawn(self, seat: Seat) -> None:
        with roomy_malloc():
            seat.spawn()
        assert seat.connection is not None
        self.selector.register(seat.connection, selectors.EVENT_READ, seat)
        if seat.number != _EVALUATOR and seat.process is not None and seat.process.pid:
            self.run.processes[seat.number] = seat.process.pid

    def _messages(self, timeout: float) -> Iterator[tuple[Seat, FromWorker | None]]:
        for key, _ in self.selector.select(max(0.0, timeout)):
            seat: Seat = key.data
            # A message handled before this one may have ended the seat's process.
            if seat.connection is key.fileobj:
                yield seat, seat.receive()

    def train(self) -> None:
        """From the first pull to the reason to stop, then the last evaluation."""
        run = self.run
        if run.stopped is not None:
            return
        self.started = time.monotonic()
        present = [seat for seat in self.workers if seat.ready]
        for seat in present:
            self._carry_out(run.handle(Join(worker=seat.number, incarnation=seat.incarnation)))
        for seat in present:
            self._carry_out(run.handle(Pull(worker=seat.number, incarnation=seat.incarnation)))
        while run.stopped is None:
            for seat, message in self._messages(self._patience()):
                self._pass_time()
                if run.stopped is not None:
                    break
                self._take(seat, message)
            self._pass_time()
            self._keep_time()
            run.show()
        self.sabotage.cease()
        self._dismiss(*self.workers)
        if run.stopped in (Stopped.TARGET, Stopped.BUDGET):
            self._score_the_rest()

    def _pass_time(self) -> None:
        if self.run.stopped is None:
            self.run.now = time.monotonic() - self.started

    def _patience(self) -> float:
        run = self.run
        moments = [run.now + _PULSE_S, run.server.next_tick()]
        moments += [run.setup.until.seconds, self.evaluator.next_time()]
        moments += [self.sabotage.next_time()]
        return min(moment for moment in moments if moment is not None) - run.now

    def _keep_time(self) -> None:
        run = self.run
        run.look_at_budget()
        tick = run.server.next_tick()
        if run.stopped is None and tick is not None and run.now >= tick:
            self._carry_out(run.handle(Tick(time=run.now)))
        if run.stopped is None and run.server.asleep and not self._anyone_starting():
            run.fail(held_forever(run.setup.policy))
        if run.stopped is None:
            self.sabotage.keep_time()
            self.evaluator.keep_time()

    def _anyone_starting(self) -> bool:
        return any(seat.occupied and not seat.ready for seat in self.workers)

    def _take(self, seat: Seat, message: FromWorker | None) -> None:
        match message:
            case Computed():
                self._push(seat, message)
            case Evaluated(scores):
                self.evaluator.scored(scores)
            case Ready():
                seat.ready = True
                if seat.number != _EVALUATOR:
                    now, who, life = self.run.now, seat.number, seat.incarnation
                    self._carry_out(self.run.handle(Join(worker=who, incarnation=life, time=now)))
                    self._pull(seat)
            case Failed(words):
                self._lost(seat, words)
            case None:
                self._lost(seat)

    def _push(self, seat: Seat, done: Computed) -> None:
        run = self.run
        push = Push(
            worker=seat.number,
            incarnation=seat.incarnation,
            sequence=done.sequence,
            version=done.version,
            lease=done.lease,
            values=seat.slot.gradient,
            loss=math.nan if done.loss is None else done.loss,
            buffers=seat.slot.pushed.clone() if seat.slot.pushed.numel() else None,
            time=run.now,
        )
        for event in run.arrivals(push):
            self._carry_out(run.handle(event))

    def _pull(self, seat: Seat) -> None:
        pull = Pull(worker=seat.number, incarnation=seat.incarnation, time=self.run.now)
        self._carry_out(self.run.handle(pull))

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send():
                    seat = self.seats[command.worker]
                    seat.slot.point.copy_(command.point)
                    if command.buffers is not None:
                        seat.slot.buffers.copy_(command.buffers)
                    seat.send(Compute(command.version, command.lease))
                case Shutdown():
                    self._dismiss(self.seats[command.worker])

    def _lost(self, seat: Seat, words: str | None = None) -> None:
        run = self.run
        under_way = self.started < math.inf
        was_ready = seat.ready
        (code,) = self._dismiss(seat)
        killed = code is not None and code < 0
        if not (under_way or killed):
            run.fail(
                f"{_name(seat)} could not start: it ended without a word; a script that trains "
                "must do so under `if __name__ == '__main__':`"
            )
            return
        if words is None:
            words = f"{'killed' if killed else 'ended'} (exit code {code})"
        run.failures.append(f"{_name(seat)}: {words}")
        if seat.number == _EVALUATOR:
            self._lost_evaluator(seat)
            return
        if was_ready and under_way:
            self.sabotage.lost(seat.number)
            leave = Leave(worker=seat.number, incarnation=seat.incarnation, time=run.now)
            self._carry_out(run.handle(leave))
        if run.stopped is None and self.restarts_left[seat.number]:
            self.restarts_left[seat.number] -= 1
            self._spawn(seat)
        elif not any(worker.occupied for worker in self.workers):
            run.fail(f"Every worker is gone; the last words:\n{run.failures[-1]}")

    def _lost_evaluator(self, seat: Seat) -> None:
        if self.restarts_left[_EVALUATOR]:
            self.restarts_left[_EVALUATOR] -= 1
            self._spawn(seat)
            self.evaluator.score_again()
        else:
            self.evaluator.give_up()
            self.run.fail(f"The evaluator is gone; the last words:\n{self.run.failures[-1]}")

    def _await_scores(self) -> None:
        while self.evaluator.busy and self.run.stopped is not Stopped.INTERRUPTED:
            for seat, message in self._messages(_PULSE_S):
                if seat.number == _EVALUATOR:
                    self._take(seat, message)

    def _score_the_rest(self) -> None:
        self._await_scores()
        seat = self.seats.get(_EVALUATOR)
        while seat and seat.occupied and (copy := self.evaluator.next_kept()) is not None:
            self.evaluator.score(copy)
            self._await_scores()
        if seat is None or seat.occupied:
            self.run.final_evaluation(self._evaluate_and_wait)

    def _evaluate_and_wait(self) -> None:
        self.evaluator.score(self.evaluator.copy())
        self._await_scores()

    def _dismiss(self, *seats: Seat) -> list[int | None]:
        # All are told first: they end side by side.
        for seat in seats:
            if seat.connection is not None:
                self.selector.unregister(seat.connection)
            seat.dismiss()
            self.run.processes.pop(seat.number, None)
        return [seat.bury() for seat in seats]

    def disband(self) -> None:
        """No process outlives the run."""
        self.sabotage.cease()
        self._dismiss(*self.seats.values())
        self.selector.close()


def _name(seat: Seat) -> str:
    return "The evaluator" if seat.number == _EVALUATOR else f"Worker {seat.number}"
