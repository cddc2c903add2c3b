"""The processes of a script: their loop, from the first to the end of the last one."""

import math
import selectors
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch

from lagrad import specs
from lagrad.core import Unreadable
from lagrad.runtimes import (
    DeferredSignals,
    Folder,
    Observer,
    Result,
    RunFailed,
    Stopped,
    WorkerTally,
    job_times,
    receive,
)
from lagrad.trace import TraceWriter, digest

from ._dialogue import Dialogue
from ._door import Door
from ._messages import Begun, FromScript, Hello, Seated, read_by_server
from ._nodes import Nodes
from ._place import Ending, Place
from ._processes import Processes
from ._terms import Launch
from ._training import Training

#: Longest sleep of the loop, so that deaths, joiners and signals are noticed, in seconds.
_PULSE_S = 0.05


class Company:
    """All processes of a run, from the first to the end of the last one.

    folder: of the run, which somebody else closes. begun: what a run that goes on trains on; None
    for a new one. why: the reason why the whole is given up, empty if it is not.
    """

    def __init__(
        self,
        terms: Launch,
        echo: Callable[[int, str], None],
        observe: Observer | None,
        *,
        folder: Folder | None = None,
        begun: Begun | None = None,
    ) -> None:
        self.terms, self.folder, self.begun = terms, folder, begun
        self.door = Door()
        self.selector = selectors.DefaultSelector()
        self.nodes: Nodes | None = None
        self.places = [Place(number) for number in range(terms.workers)]
        if terms.ray is not None:
            self.nodes = Nodes(
                None if terms.ray == "local" else terms.ray,
                workers=terms.workers,
                gpus=terms.gpus,
                patience=terms.patience,
                hung_after=terms.hung_after,
                door=self.door,
                echo=echo,
            )
            self.places = self.nodes.places
        self.short_since = time.monotonic()
        self.processes = Processes(terms, self.places, self.door, echo)
        self.early_failures: list[str] = []
        self.why = ""
        self.dialogue = Dialogue(
            terms,
            self.places,
            self.door,
            backoffs=self.processes.backoffs,
            early_failures=self.early_failures,
            folder=folder,
            begun=begun,
            observe=observe,
            give_up=self._give_up,
        )
        #: A signal that comes before there is a training waits for it, or ends all.
        self.signals = DeferredSignals()

    @property
    def training(self) -> Training | None:
        """What the processes take part in, once one has asked to."""
        return self.dialogue.training

    def go(self) -> Result:
        """From the first process to the end of the last one."""
        self.signals.begin()
        try:
            return self._go()
        finally:
            self.signals.end()

    def _go(self) -> Result:
        for place in self.places:
            self.processes.start(place)
        while self._anybody():
            if self.training is not None:
                self._train(self.training)
                continue
            self._pass_messages()
            if self.signals.asked:
                self._end_processes()
        if self.training is None:
            if self.signals.asked and self.begun is not None:
                raise KeyboardInterrupt  # what the run has left stays as it was
            if self.signals.asked:
                return self._nothing_begun()
            raise RunFailed(self.why or self._nothing_trained())
        run = self.training.run
        if not self.processes.ended_well and run.stopped is None:
            run.fail(f"Every process is gone; the last words:\n{self._last_words()}")
        if self.why:
            run.fail(self.why)
        if run.stopped is None and run.setup.until.goal and not run.evaluations:
            run.fail(
                "Nothing was scored, so the target could not be reached; the script must "
                "call session.evaluate_every(seconds, function)."
            )
        run.stop(Stopped.ENDED)
        with run.shortages():
            self.training.end()
        run.given_up = tuple(sorted(self.processes.given_up))
        return run.result()

    @property
    def _closing(self) -> bool:
        return self.dialogue.over or bool(self.why) or self.signals.asked

    def _anybody(self) -> bool:
        return self.processes.anybody(closing=self._closing)

    def _train(self, training: Training) -> None:
        run = training.run
        with run.interruptible():
            while self._anybody():
                with run.shortages():
                    self._pass_messages()
                    if run.stopped is not None:
                        training.end()
                if run.stopped is not None:
                    self.dialogue.stop_all()
                if run.stopped is Stopped.INTERRUPTED:
                    self._end_processes()

    def _nothing_begun(self) -> Result:
        """Of a run that was interrupted before there was a model: its books are closed empty."""
        folder, nothing = self.folder, torch.empty(0)
        trace = TraceWriter(None) if folder is None else folder.trace
        trace.end(version=0, stopped=Stopped.INTERRUPTED, params=nothing)
        result = Result(
            stopped=Stopped.INTERRUPTED,
            seconds=0.0,
            seconds_to_target=None,
            updates=0,
            epochs=0.0,
            scores={},
            evaluations=(),
            workers=tuple(WorkerTally() for _ in self.places),
            params=nothing,
            state_dict={},
            digest=digest(nothing),
            trace_sha256=trace.sha256,
            out=None if folder is None else folder.path,
            failures=tuple(self.early_failures),
        )
        if folder is not None:
            folder.result(result.summary())
        return result

    def _nothing_trained(self) -> str:
        if self.early_failures:
            return f"No process came to train; the last words:\n{self.early_failures[-1]}"
        return (
            f"{self.terms.script} ended without training in this run; it must call "
            "lagrad.join() and loop over session.batches(...)."
        )

    @property
    def failures(self) -> list[str]:
        """How processes have died so far."""
        return self.early_failures if self.training is None else self.training.run.failures

    def _last_words(self) -> str:
        return (self.failures or ["none"])[-1]

    def _pass_messages(self) -> None:
        idle = math.inf if self.training is None else self.training.idle_s()
        for key, _ in self.selector.select(min(_PULSE_S, idle)):
            connection, place = key.fileobj, key.data
            assert isinstance(connection, Connection)
            if connection.closed:  # by what the message before this one has led to
                continue
            try:
                message = read_by_server(receive(connection))
            except (EOFError, OSError, Unreadable):
                self._hung_up(connection, place)
                continue
            self._pass_time()
            if place is None:
                self._seat(connection, message)
            elif not self.dialogue.take(place, message):
                # Nothing of lagrad says that at this point, or twice.
                self._hung_up(connection, place)
        while (newcomer := self.door.newcomer()) is not None:
            self.selector.register(newcomer, selectors.EVENT_READ, None)
        for place in self.places:
            ending = place.ended()
            if ending is not None:
                self._ended(place, ending)
        self.processes.look_after(closing=self._closing)
        self._pass_time()
        if self.training is not None:
            self.training.keep_time(alone=self.processes.alone(closing=self._closing))
        if self.nodes is not None:
            self._look_for_room()

    def _pass_time(self) -> None:
        if self.training is not None:
            self.training.clock.look()

    def _look_for_room(self) -> None:
        """End a run that nobody, or too few, have come to for too long."""
        alive = [place for place in self.places if place.alive]
        there = sum(place.connection is not None for place in alive)
        under_way = self.training is not None and self.training.clock.goes
        least = 1 if under_way else len(self.places)
        wanted = min(self.terms.min_workers or least, len(alive))
        if there >= wanted or self.why:
            self.short_since = time.monotonic()
        elif time.monotonic() - self.short_since > self.terms.patience:
            known = self.failures or (["none"] if self.training is not None else [])
            words = f"; the last words:\n{known[-1]}" if known else "."
            self.why = (
                f"Fewer than {wanted} processes have come for {self.terms.patience:g} s; each "
                f"takes a free processor of the cluster, and calls lagrad.join(){words}"
            )
            self._end_processes()

    def _seat(self, connection: Connection, message: FromScript) -> None:
        place = None
        if isinstance(message, Hello) and 0 <= message.worker < len(self.places):
            place = self.places[message.worker]
        if place is None or place.connection is not None:
            self._hung_up(connection, None)
            return
        place.connection = connection
        self.selector.modify(connection, selectors.EVENT_READ, place)
        terms = self.terms
        place.send(
            Seated(
                workers=terms.workers,
                seed=terms.seed,
                state=str(self.door.state(place.number, place.incarnation)),
                delays=specs.describe(job_times(terms.delays, terms.chaos)),
                seconds_per_job=terms.seconds_per_job,
            )
        )

    def _give_up(self, why: str) -> None:
        """End a run that a script does not fit; the first reason stands."""
        self.why = self.why or why
        if self.training is not None:
            self.training.run.fail(self.why)
        else:
            self._end_processes()

    def _hung_up(self, connection: Connection, place: Place | None) -> None:
        self.selector.unregister(connection)
        if place is None:
            connection.close()
            return
        place.hang_up()
        if self.training is not None:
            self.training.left(place)

    def _ended(self, place: Place, ending: Ending) -> None:
        if place.connection is not None:
            self._hung_up(place.connection, place)
        if self.processes.ended(place, ending, closing=self._closing):
            self.failures.append(f"Worker {place.number}: {ending.words}")
        elif ending.asked and self.training is not None:
            self.training.run.tallies[place.number].preemptions += 1
        if self.training is not None:
            self.training.start_the_ready()

    def _end_processes(self) -> None:
        for place in self.places:
            place.end()
            if place.connection is not None:
                self.selector.unregister(place.connection)
                place.hang_up()

    def disband(self) -> None:
        """No process outlives the run, nor its private folder."""
        self._end_processes()
        if self.nodes is not None:
            self.nodes.close()
        self.door.close()
        self.selector.close()
        if self.training is not None:
            self.training.close()
