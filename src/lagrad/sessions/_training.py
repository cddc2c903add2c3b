"""A run whose workers are scripts: what passes between their places and its server."""

import math
import os
from collections.abc import Sequence

from lagrad.core import Command, Join, Leave, Pull, Push, Send, Shutdown
from lagrad.runtimes import Backoff, Clock, Folder, Keeper, Moment, Observer, Sabotage, all_leave

from ._groups import require_no_factors
from ._messages import Begun, Compute, Delivered
from ._opening import open_run
from ._paces import Paces
from ._place import Place
from ._script_model import ScriptModel
from ._terms import Launch

#: How long the others wait for a script that is behind its loop: so many median jobs, and at least
#: so many seconds.
_ABSENCE_JOBS, _ABSENCE_S = 10, 1.0


class Training:
    """The workers of a run, from the first script that asks for a batch.

    places, backoffs: by number. begun: what the first has asked for. clock: goes from the first
    pull on. ready: who waits for the start, or for its turn to join.
    Raises: ValueError for terms that do not fit the script.
    """

    #: What a checkpoint keeps; processes are none of it.
    CHANGES = ("run", "described", "begun", "backoffs")

    def __init__(
        self,
        terms: Launch,
        places: Sequence[Place],
        trainee: ScriptModel,
        begun: Begun,
        *,
        backoffs: Sequence[Backoff],
        folder: Folder | None,
        observe: Observer | None,
    ) -> None:
        self.terms, self.places, self.backoffs = terms, places, backoffs
        self.described, self.begun = trainee.described, begun
        self.paces = Paces(begun)
        self.folder = folder
        self.run = open_run(terms, trainee, begun, folder=folder, observe=observe)
        self.clock = Clock(self.run)
        self.ready: list[Place] = []
        self._held_since = 0.0
        self._asked: dict[int, Moment] = {}
        self._keeper = Keeper(self.run, folder, self)
        self._sabotage = Sabotage(
            self.run,
            dict(enumerate(places)),
            lambda worker, number: os.kill(self.run.processes[worker], number),
        )
        self._has_ended = False

    def restore(self) -> None:
        """Put a run that goes on back to where its folder was left.

        Raises: ValueError for a script that trains something else than before.
        """
        now = self.described, self.begun
        if not self._keeper.restore(journals=True):
            return
        before, (self.described, self.begun) = (self.described, self.begun), now
        if before != now:
            raise ValueError(
                "Expected the model, rule and data that this run has had, got a script with "
                "others; resume it with the script as it was, or start another run."
            )
        for place in self.places:
            place.life = self.run.newest.get(place.number, -1)

    def begin(self, place: Place, begun: Begun) -> None:
        """A script asks for its first batch. Raises: ValueError for other data than the first."""
        if begun != self.begun:
            raise ValueError(
                f"Expected the same data in every process, got {begun} where "
                f"another has {self.begun}; "
                "give session.batches(...) the whole data set on all workers."
            )
        self.ready.append(place)
        self.start_the_ready()

    def start_the_ready(self) -> None:
        """Let those train who can; at first when all are ready, or have died."""
        run = self.run
        if run.stopped is not None or not self.ready:
            return
        if not self.clock.goes:
            alive = sum(place.alive for place in self.places)
            if len(self.ready) < min(alive, self.terms.min_workers or alive):
                return
            self._start()
        newly, self.ready = self.ready, []
        for place in newly:
            place.begun = True
            run.processes[place.number] = place.pid
            place.life += 1
            who, life = place.number, place.life
            self._carry_out(run.handle(Join(worker=who, incarnation=life, time=run.now)))
        for place in newly:
            self._pull(place)

    def _start(self) -> None:
        run = self.run
        self.clock.start(self._keeper.go_on())
        self._keeper.begin()
        for leave in all_leave(run):
            run.handle(leave)

    def end(self) -> None:
        """The run has stopped: the last checkpoint is taken, and nobody stands still."""
        if self._has_ended or not self.clock.goes:
            return
        self._has_ended = True
        self.run.attended(True)  # so that the last time without a worker is said, too
        self._sabotage.cease()
        self._keeper.end()

    def close(self) -> None:
        """Nothing is written any more, however the run has ended."""
        self._sabotage.cease()
        self._keeper.close()

    def idle_s(self) -> float:
        """How many seconds there is nothing to do for `keep_time`."""
        return self.clock.left(self._sabotage.next_time())

    def keep_time(self, *, alone: bool) -> None:
        """Do what is due. alone: whether nobody is there for the moment."""
        run = self.run
        if run.stopped is not None or not self.clock.goes:
            return
        run.look_at_budget()
        if (tick := self.clock.due()) is not None:
            self._carry_out(run.handle(tick))
        self._look_for_absentees()
        if run.stopped is None:
            run.attended(not alone)
            self._sabotage.keep_time()
        run.show()
        self._keeper.keep_time()

    def _look_for_absentees(self) -> None:
        """Who is behind its loop leaves when nobody computes and somebody waits, for too long."""
        run = self.run
        if run.stopped is not None:
            return
        ledger = run.server.ledger
        computing = [self.places[who] for who, m in ledger.members.items() if m.lease is not None]
        absent = [place for place in computing if place.paused]
        if not (ledger.held and absent) or len(absent) < len(computing):
            self._held_since = run.now
            return
        jobs = _ABSENCE_JOBS * ledger.durations.value() if len(ledger.durations) else 0.0
        if run.now - self._held_since > max(_ABSENCE_S, jobs):
            for place in absent:
                place.away = True
                self.left(place)

    def come_back(self, place: Place) -> None:
        """It is sent another job; what it may have handed in was of one that others have done."""
        if self.run.stopped is not None:
            return
        place.away = place.paused = False
        self.ready.append(place)
        self.start_the_ready()

    def push(self, place: Place, done: Delivered) -> None:
        """A gradient lies in the place's memory. Raises: ValueError for a factor of no use."""
        run, memory = self.run, place.memory
        assert memory is not None
        if run.stopped is not None:
            return
        require_no_factors(self.run.setup.rule, done.rates)
        push = Push(
            worker=place.number,
            incarnation=place.life,
            sequence=done.sequence,
            version=done.version,
            lease=done.lease,
            values=memory.gradient,
            loss=done.loss,
            buffers=memory.pushed.clone() if memory.pushed.numel() else None,
            rates=done.rates,
            time=run.now,
        )
        self.paces.delivered(place.number, now=run.now)
        batch_size = self.paces.batch_size(place.number)
        for event in run.arrivals(push, batch_size=batch_size):
            self._carry_out(run.handle(event))

    def _pull(self, place: Place) -> None:
        pull = Pull(
            worker=place.number,
            incarnation=place.life,
            time=self.run.now,
            batch_size=self.paces.batch_size(place.number),
        )
        self._carry_out(self.run.handle(pull))

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send():
                    place = self.places[command.worker]
                    if place.memory is None:
                        continue  # it has just died, which its connection will report
                    place.memory.point.copy_(command.point)
                    if command.buffers is not None:
                        place.memory.buffers.copy_(command.buffers)
                    steps = self.paces.sent(place.number, command.lease, now=self.run.now)
                    place.send(Compute(command.version, command.lease, steps))
                case Shutdown():
                    self.places[command.worker].end()

    def left(self, place: Place) -> None:
        """A worker is gone, or the others go on without it."""
        if place in self.ready:
            self.ready.remove(place)
        if not place.begun:
            return
        place.begun = False
        self.paces.left(place.number)
        self.run.processes.pop(place.number, None)
        if self.run.stopped is None:
            self._sabotage.lost(place.number)
            leave = Leave(worker=place.number, incarnation=place.life, time=self.run.now)
            self._carry_out(self.run.handle(leave))

    def note_asked(self, place: Place) -> None:
        """The place is given the evaluated parameters of now."""
        self._asked[place.number] = self.run.moment()

    def scored(self, place: Place, scores: dict[str, float | None]) -> None:
        """Of the parameters given last. Raises: ValueError for a target on another score."""
        run, memory = self.run, place.memory
        moment = self._asked.get(place.number)
        if memory is None or moment is None or run.stopped is not None:
            return
        found = {name: math.nan if score is None else score for name, score in scores.items()}
        run.evaluated(found, moment=moment, params=memory.trained, buffers=memory.trained_buffers)

    def log(self, place: Place, values: dict[str, float | None]) -> None:
        """Keep values of a script in the run's records."""
        if self.folder is not None:
            head = {"worker": place.number, "seconds": self.run.now}
            self.folder.logged({**head, "version": self.run.server.version, **values})
