"""The loop of a local run: events from worker processes to the server, commands to them."""

import math
import os
import selectors
import signal
import time
from collections.abc import Iterator

import msgspec

from lagrad._forking import roomy_malloc
from lagrad.core import (
    Command,
    Join,
    Leave,
    Outcome,
    Pull,
    Push,
    Send,
    SetAside,
    Shutdown,
)
from lagrad.runtimes._backoff import Backoff
from lagrad.runtimes._blame import Blame
from lagrad.runtimes._clock import Clock
from lagrad.runtimes._keeper import Keeper, all_leave
from lagrad.runtimes._memory import Region
from lagrad.runtimes._result import Stopped
from lagrad.runtimes._run import Run, held_forever
from lagrad.runtimes._throttle import Throttle
from lagrad.runtimes._watch import Watch

from ._gathering import Gathering
from ._sabotage import Sabotage
from ._scorer import Scorer
from ._seat import Seat, ending
from ._shared import Shared
from ._worker import Compute, Computed, Failed, FromWorker, Job, Leaving, Ready, Slot

#: Longest sleep of the loop, so that signals and the observer are served, in seconds.
_PULSE_S = 0.1


class Crew:
    """The workers of a local run and what passes between them and its server.

    region, shared: the parameters, and where workers find them. The rest: see `Local`.
    """

    #: What a checkpoint keeps; processes are none of it.
    CHANGES = ("run", "places", "blame")

    def __init__(
        self,
        run: Run,
        region: Region,
        shared: Shared,
        *,
        restarts: int,
        seconds_per_job: float | None,
        hung_after: float | None,
        device: str,
    ) -> None:
        setup = run.setup
        params = shared.params
        self.shared = shared
        self.points = shared.points
        run.server.entrust(shared)
        self.gathering = Gathering()
        buffers = run.trainee.initial_buffers()
        self.run = run
        self.selector = selectors.DefaultSelector()
        job = Job(
            task=setup.task,
            seed=setup.seed,
            delays=setup.job_times,
            seconds_per_job=seconds_per_job,
            measures=run.server.takes_lengths,
            device=device,
        )
        self.seats = {
            number: Seat(number, Slot.allocate(params, buffers, region), job)
            for number in range(setup.workers)
        }
        self.places = {number: Backoff(restarts) for number in self.seats}
        self.blame = Blame()
        self.watch: Watch[int] | None = None if hung_after is None else Watch(after=hung_after)
        self.looks = Throttle(_PULSE_S)
        self.clock = Clock(run)
        self.scorer = Scorer(run)
        self.sabotage = Sabotage(
            run, self.seats, lambda worker, number: os.kill(run.processes[worker], number)
        )

    def assemble(self) -> None:
        """Start all processes and wait until each is ready, or killed for good."""
        self.scorer.start()
        self._listen_to_scorer()
        for seat in self.seats.values():
            seat.incarnation = self.run.newest.get(seat.number, -1)
            self._spawn(seat)
        while self.run.stopped is None and not self._can_begin():
            for seat, message in self._messages(_PULSE_S):
                if self.run.stopped is not None:
                    break  # a signal has ended the workers too, or one of them could not start
                if isinstance(message, Ready):
                    seat.ready = True
                elif isinstance(message, Failed):
                    self.run.fail(f"Worker {seat.number} could not start: {message.traceback}")
                else:
                    self._lost(seat, asked=isinstance(message, Leaving))
            self._look_after_workers()
            self.run.show()

    def _can_begin(self) -> bool:
        """Whether nobody is starting and somebody is there; who waits to be started comes later."""
        somebody = any(seat.ready for seat in self.seats.values())
        return somebody and not self._anyone_starting() and self.scorer.ready

    def _spawn(self, seat: Seat) -> None:
        self.places[seat.number].began(time.monotonic())
        with roomy_malloc():
            seat.spawn()
        assert seat.connection is not None
        self.selector.register(seat.connection, selectors.EVENT_READ, seat)
        if seat.process is not None and seat.process.pid:
            self.run.processes[seat.number] = seat.process.pid

    def _listen_to_scorer(self) -> None:
        for source in self.scorer.sources():
            self.selector.register(source, selectors.EVENT_READ)

    def _messages(self, timeout: float) -> Iterator[tuple[Seat, FromWorker | None]]:
        for key, _ in self.selector.select(max(0.0, timeout)):
            seat: Seat | None = key.data
            if seat is None:
                self.clock.look()
                self.selector.unregister(key.fileobj)  # another one, if its process is replaced
                self.scorer.take()
                self._listen_to_scorer()
            # A message handled before this one may have ended the seat's process.
            elif seat.connection is key.fileobj:
                yield seat, seat.receive()

    def train(self, keeper: Keeper) -> None:
        """From the first pull to the reason to stop, then the last evaluation."""
        run = self.run
        if run.stopped is not None:
            return
        self.clock.start(keeper.go_on())
        keeper.begin()
        for leave in all_leave(run):
            run.handle(leave)
        present = [seat for seat in self.seats.values() if seat.ready]
        for seat in present:
            who, life = seat.number, seat.incarnation
            self._carry_out(run.handle(Join(worker=who, incarnation=life, time=run.now)))
        for seat in present:
            self._pull(seat)
        while run.stopped is None:
            self._listen(self._idle_s())
            while run.stopped is None and (left := self._gathering_s()) > 0:
                self._listen(min(left, _PULSE_S))
            self._answer()
            self.clock.look()
            self._keep_time()
            run.show()
            keeper.keep_time()
        run.attended(True)  # so that the last time without a worker is said, too
        keeper.end()
        self.sabotage.cease()
        self._dismiss(*self.seats.values())
        if run.stopped in (Stopped.TARGET, Stopped.BUDGET):
            self.scorer.score_the_rest()

    def _listen(self, timeout: float) -> None:
        """Wait for messages, at most so long, and take in what has come."""
        for seat, message in self._messages(timeout):
            self.clock.look()
            if self.run.stopped is not None:
                return
            self._take(seat, message)

    def _gathering_s(self) -> float:
        """How long pushes that have come wait for others."""
        if not (self.gathering.anyone and self.shared.waits):
            return 0.0
        self.clock.look()
        computing = {
            number: member.sent_at
            for number, member in self.run.server.ledger.members.items()
            if member.lease is not None
        }
        return self.gathering.left(self.run.now, computing)

    def _answer(self) -> None:
        """What follows the pushes that have come: mostly, their workers pull."""
        self.clock.look()
        for events in self.gathering.answer():
            if self.run.stopped is not None:
                return
            for event in events:  # it reaches the server now, after all the pushes
                self._carry_out(self.run.handle(msgspec.structs.replace(event, time=self.run.now)))

    def _idle_s(self) -> float:
        """How long there is nothing to do for `_keep_time`."""
        moments = [self.scorer.next_time(), self.sabotage.next_time()]
        return min(_PULSE_S, self.clock.left(self.run.setup.until.seconds, *moments))

    def _keep_time(self) -> None:
        run = self.run
        run.look_at_budget()
        if (tick := self.clock.due()) is not None:
            self._carry_out(run.handle(tick))
        if run.stopped is None:
            self._look_after_workers()
        if run.stopped is None and run.server.asleep and not self._anyone_coming():
            run.fail(held_forever(run.setup.policy))
        if run.stopped is None:
            self.sabotage.keep_time()
            self.scorer.keep_time()

    def _anyone_starting(self) -> bool:
        return any(seat.occupied and not seat.ready for seat in self.seats.values())

    def _anyone_coming(self) -> bool:
        return self._anyone_starting() or any(p.due is not None for p in self.places.values())

    def _look_after_workers(self) -> None:
        """Now and then: end those that hang, and start those whose time has come."""
        now = time.monotonic()
        if not self.looks.due(now):
            return
        if self.watch is not None:
            shown = {
                number: signs
                for number, seat in self.seats.items()
                if seat.occupied and (signs := seat.slot.pulse.signs()).beats
            }
            for number, words in self.watch.look(now, shown).items():
                self.seats[number].kill()
                self._lost(self.seats[number], f"{words}; it hung and was ended")
        for number, place in self.places.items():
            if self.run.stopped is None and place.due is not None and now >= place.due:
                self._spawn(self.seats[number])
        if self.clock.goes:
            self.run.attended(any(seat.ready for seat in self.seats.values()))

    def _take(self, seat: Seat, message: FromWorker | None) -> None:
        match message:
            case Computed():
                self._push(seat, message)
            case Ready():
                seat.ready = True
                now, who, life = self.run.now, seat.number, seat.incarnation
                self._carry_out(self.run.handle(Join(worker=who, incarnation=life, time=now)))
                self._pull(seat)
            case Failed(words):
                self._lost(seat, words)
            case _:
                self._lost(seat, asked=isinstance(message, Leaving))

    def _push(self, seat: Seat, done: Computed) -> None:
        run = self.run
        self.points.release(seat.number)
        push = Push(
            worker=seat.number,
            incarnation=seat.incarnation,
            sequence=done.sequence,
            version=done.version,
            lease=done.lease,
            values=seat.slot.gradient,
            loss=math.nan if done.loss is None else done.loss,
            finite=done.finite,
            length=done.length,
            buffers=seat.slot.pushed.clone() if seat.slot.pushed.numel() else None,
            time=run.now,
        )
        events = run.arrivals(push)
        if not self.shared.gathers:  # there is little to gain, and the order is the simulator's
            for event in events:
                self._carry_out(run.handle(event))
            return
        took = run.now - run.server.ledger.members[seat.number].sent_at
        self._carry_out(run.handle(next(events)))
        step_s = self.shared.settle_s
        self.gathering.add(seat.number, events, now=run.now, took=took, step_s=step_s)

    def _pull(self, seat: Seat) -> None:
        pull = Pull(worker=seat.number, incarnation=seat.incarnation, time=self.run.now)
        self._carry_out(self.run.handle(pull))

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send():
                    seat = self.seats[command.worker]
                    row = self.points.hold(seat.number, command.version, command.point)
                    if command.buffers is not None:
                        seat.slot.buffers.copy_(command.buffers)
                    seat.send(Compute(command.version, command.lease, row))
                case SetAside():
                    self._clear(command.lease.number)
                case Shutdown():
                    self._dismiss(self.seats[command.worker])

    def _lost(self, seat: Seat, words: str | None = None, *, asked: bool = False) -> None:
        """A process is gone: it died, failed or hung, or was asked to end by somebody else."""
        run, place = self.run, self.places[seat.number]
        under_way = self.clock.goes
        was_ready = seat.ready
        (code,) = self._dismiss(seat)
        self.points.release(seat.number)
        self.gathering.lost(seat.number)
        killed = code is not None and code < 0
        asked = asked or code == -signal.SIGTERM
        if not (under_way or killed or asked):
            run.fail(
                f"Worker {seat.number} could not start: it ended without a word; a script that "
                "trains must do so under `if __name__ == '__main__':`"
            )
            return
        if asked:
            run.tallies[seat.number].preemptions += 1
            place.left(time.monotonic())
        else:
            run.failures.append(f"Worker {seat.number}: {words or ending(code)}")
            place.failed(time.monotonic())
        if was_ready and under_way:
            by_fault = self.sabotage.lost(seat.number)
            self._leave(seat, failed=not (asked or by_fault))
        occupied = any(other.occupied for other in self.seats.values())
        if run.stopped is None and not (occupied or self._anyone_coming()):
            run.fail(
                "Every worker is gone, and none is to be started again; the last words:\n"
                f"{run.failures[-1]}"
            )

    def _leave(self, seat: Seat, *, failed: bool) -> None:
        run = self.run
        member = run.server.ledger.members[seat.number]
        if failed and member.lease is not None:
            self.blame.failed(worker=seat.number, lease=member.lease.number)
        leave = Leave(worker=seat.number, incarnation=seat.incarnation, time=run.now, failed=failed)
        self._carry_out(run.handle(leave))

    def _clear(self, lease: int) -> None:
        """It was the samples: no worker has failed over them."""
        applied = self.run.server.verdicts[Outcome.APPLIED]
        for worker in self.blame.set_aside(lease, applied=applied):
            self.places[worker].cleared(time.monotonic())

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
        self.scorer.end()
        self.selector.close()
