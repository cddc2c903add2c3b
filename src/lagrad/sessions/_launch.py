"""`lagrad run`: a server in this process, and a script in several others."""

import math
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

from lagrad import specs
from lagrad._configuration import configuration
from lagrad.core import (
    BufferPolicy,
    Command,
    Join,
    Leave,
    Policy,
    Pull,
    Push,
    Send,
    Shutdown,
    Tick,
    Unreadable,
)
from lagrad.delays import Delays, Equal
from lagrad.policies import Asynchronous
from lagrad.rules import default_rule
from lagrad.runtimes import (
    Folder,
    Moment,
    Observer,
    Result,
    Run,
    RunFailed,
    Setup,
    Stopped,
    Until,
    receive,
    require_packages,
    shortage,
)
from lagrad.tasks import Task

from ._door import Door
from ._memory import Memory
from ._messages import (
    Asked,
    Begun,
    Compute,
    Delivered,
    Described,
    FromScript,
    Given,
    Hello,
    Logged,
    Mapped,
    Paused,
    Refused,
    Resumed,
    Scored,
    Seated,
    Stop,
    read_by_server,
)
from ._nodes import Nodes
from ._paces import Paces
from ._place import Ending, Place
from ._script_model import ScriptModel
from ._told import Told, follow, require_no_factor

#: Longest sleep of the loop, so that deaths, joiners and signals are noticed, in seconds.
_PULSE_S = 0.05
#: How long the others wait for a script that is behind its loop: so many median jobs, and at least
#: so many seconds.
_ABSENCE_JOBS, _ABSENCE_S = 10, 1.0


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What `lagrad run` was asked for.

    script: a path; arguments: its own. workers: how many processes. policy, delays: see `train`.
    rule: a specification that replaces the script's, None: the script's. until: budgets and
    target, None: until the script ends. restarts: of a process that failed, each.
    seconds_per_job: of a healthy job of the delay model, None: as long as the script took.
    out: a new folder, or None. ray: the address of a Ray cluster whose nodes run the script, which
    lies there under the same path; "local": a cluster of its own; None: this machine without Ray.
    min_workers: with Ray, how many must be there to start and to go on; None: all to start, one to
    go on. Who finds no room waits for it, and whose node is lost comes back on another one.
    patience: seconds that Ray, or being fewer than that, may take.
    Raises: ValueError for what does not fit.
    """

    script: Path
    arguments: Sequence[str] = ()
    workers: int = 4
    policy: Policy = field(default_factory=Asynchronous)
    rule: str | None = None
    delays: Delays = Equal()
    until: Until | None = None
    seed: int = 0
    ema: float | None = None
    restarts: int = 0
    seconds_per_job: float | None = None
    out: Path | None = None
    ray: str | None = None
    min_workers: int | None = None
    patience: float = 120.0

    def __post_init__(self) -> None:
        if self.ray is not None:
            require_packages()
        if self.min_workers is not None and (
            self.ray is None or not 1 <= self.min_workers <= self.workers
        ):
            raise ValueError(
                f"Expected min_workers from 1 to {self.workers}, of a run on Ray, got "
                f"{self.min_workers}; leave it out to start when all are there."
            )
        if not self.script.is_file():
            raise ValueError(
                f"Expected a Python script, got {self.script}, which is no file; "
                "options of lagrad come before the script, its own after it."
            )
        if self.restarts < 0:
            raise ValueError(f"Expected restarts >= 0, got {self.restarts}; use 0 for none.")
        if self.workers < 1:
            raise ValueError(f"Expected at least 1 worker, got {self.workers}; raise workers.")
        self.policy.require_workers(self.workers)
        if self.rule is not None:
            specs.parse("rule", self.rule)


def launch(
    terms: Launch, *, echo: Callable[[int, str], None], observe: Observer | None = None
) -> Result:
    """Run a script in several processes that train one model.

    echo: gets each line that a worker's process prints, with its number. observe: see `train`.
    Returns: the result, when every process has ended.
    Raises: RunFailed if no process trained to its end, or their models differ.
    """
    try:
        company = _Company(terms, echo, observe)
        try:
            return company.go()
        finally:
            company.disband()
    except (OSError, RuntimeError) as error:  # before there was a run with books to close
        words = shortage(error)
        if words is None:
            raise
        raise RunFailed(words) from error


def _elsewhere(*_: object) -> object:
    raise RuntimeError("The model, its loss and its data live in the script's processes.")


class _Company:
    def __init__(
        self, terms: Launch, echo: Callable[[int, str], None], observe: Observer | None
    ) -> None:
        self.terms, self.echo, self.observe = terms, echo, observe
        self.folder = None if terms.out is None else Folder(terms.out)
        self.door = Door()
        self.selector = selectors.DefaultSelector()
        self.nodes: Nodes | None = None
        self.places = [Place(number) for number in range(terms.workers)]
        if terms.ray is not None:
            self.nodes = Nodes(
                None if terms.ray == "local" else terms.ray,
                workers=terms.workers,
                patience=terms.patience,
                door=self.door,
                echo=echo,
            )
            self.places = self.nodes.places
        self.short_since = time.monotonic()
        self.restarts_left = [terms.restarts] * terms.workers
        self.trainee: ScriptModel | None = None
        self.run: Run | None = None
        self.told: Told | None = None
        self.begun: Begun | None = None
        self.paces: Paces | None = None
        self.started = math.inf
        self.held_since = 0.0
        self.asked: dict[int, Moment] = {}
        self.ready: list[Place] = []
        self.early_failures: list[str] = []
        self.ended_well = 0
        self.given_up: set[int] = set()
        self.why = ""

    def go(self) -> Result:
        """From the first process to the end of the last one."""
        for place in self.places:
            self._spawn(place)
        while any(place.alive for place in self.places):
            if self.run is None:
                self._pass_messages()
            else:
                with self.run.interruptible():
                    while any(place.alive for place in self.places):
                        with self.run.shortages():
                            self._pass_messages()
                        if self.run.stopped is not None:
                            self._stop_all()
                        if self.run.stopped is Stopped.INTERRUPTED:
                            self._end_processes()
        if self.run is None:
            raise RunFailed(self.why or self._nothing_trained())
        if not self.ended_well and self.run.stopped is None:
            self.run.fail(f"Every process is gone; the last words:\n{self._last_words()}")
        if self.why:
            self.run.fail(self.why)
        if self.run.stopped is None and self.run.setup.until.goal and not self.run.evaluations:
            self.run.fail(
                "Nothing was scored, so the target could not be reached; the script must "
                "call session.evaluate_every(seconds, function)."
            )
        self.run.stop(Stopped.ENDED)
        self.run.given_up = tuple(sorted(self.given_up))
        return self.run.result()

    def _nothing_trained(self) -> str:
        if self.early_failures:
            return f"No process came to train; the last words:\n{self.early_failures[-1]}"
        return (
            f"{self.terms.script} ended without training in this run; it must call "
            "lagrad.join() and loop over session.batches(...)."
        )

    def _last_words(self) -> str:
        assert self.run is not None
        return (self.run.failures or ["none"])[-1]

    def _spawn(self, place: Place) -> None:
        place.spawn(
            [str(self.terms.script), *self.terms.arguments],
            self.door.environment(place.number, place.incarnation + 1),
            self.echo,
        )

    def _pass_messages(self) -> None:
        for key, _ in self.selector.select(self._patience()):
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
            else:
                self._take(place, message)
        while (newcomer := self.door.newcomer()) is not None:
            self.selector.register(newcomer, selectors.EVENT_READ, None)
        for place in self.places:
            ending = place.ended()
            if ending is not None:
                self._ended(place, ending)
        self._pass_time()
        self._keep_time()
        if self.nodes is not None:
            self._look_for_room()

    def _look_for_room(self) -> None:
        """End a run that nobody, or too few, have come to for too long."""
        alive = [place for place in self.places if place.alive]
        there = sum(place.connection is not None for place in alive)
        least = 1 if self.started < math.inf else len(self.places)
        wanted = min(self.terms.min_workers or least, len(alive))
        if there >= wanted or self.why:
            self.short_since = time.monotonic()
        elif time.monotonic() - self.short_since > self.terms.patience:
            known = [self._last_words()] if self.run is not None else self.early_failures
            words = f"; the last words:\n{known[-1]}" if known else "."
            self.why = (
                f"Fewer than {wanted} processes have come for {self.terms.patience:g} s; each "
                f"takes a free processor of the cluster, and calls lagrad.join(){words}"
            )
            self._end_processes()

    def _patience(self) -> float:
        tick = None if self.run is None else self.run.server.next_tick()
        if self.run is None or tick is None:
            return _PULSE_S
        return min(_PULSE_S, max(0.0, tick - self.run.now))

    def _pass_time(self) -> None:
        if self.run is not None and self.run.stopped is None and self.started < math.inf:
            self.run.now = time.monotonic() - self.started

    def _keep_time(self) -> None:
        run = self.run
        if run is None or run.stopped is not None:
            return
        run.look_at_budget()
        tick = run.server.next_tick()
        if run.stopped is None and tick is not None and run.now >= tick:
            self._carry_out(run.handle(Tick(time=run.now)))
        self._look_for_absentees()
        run.show()

    def _look_for_absentees(self) -> None:
        """Who is behind its loop leaves when nobody computes and somebody waits, for too long."""
        run = self.run
        assert run is not None
        if run.stopped is not None:
            return
        ledger = run.server.ledger
        computing = [self.places[who] for who, m in ledger.members.items() if m.lease is not None]
        absent = [place for place in computing if place.paused]
        if not (ledger.held and absent) or len(absent) < len(computing):
            self.held_since = run.now
            return
        jobs = _ABSENCE_JOBS * ledger.durations.value() if len(ledger.durations) else 0.0
        if run.now - self.held_since > max(_ABSENCE_S, jobs):
            for place in absent:
                place.away = True
                self._left(place)

    def _come_back(self, place: Place) -> None:
        """It is sent another job; what it may have handed in was of one that others have done."""
        run = self.run
        assert run is not None
        if run.stopped is not None:
            return
        place.away = place.paused = False
        self.ready.append(place)
        self._start_the_ready()

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
                delays=specs.describe(terms.delays),
                seconds_per_job=terms.seconds_per_job,
            )
        )

    def _take(self, place: Place, message: FromScript) -> None:
        match message:
            case Described() if place.memory is None:
                self._describe(place, message)
            case Begun() if place.memory and not place.begun and place not in self.ready:
                self._begin(place, message)
            case Delivered() if place.begun:
                place.paused = False
                self._push(place, message)
            case Paused() if place.begun:
                place.paused = True
            case Resumed() if place.begun:
                place.paused = False
                place.send(Given())
            case Resumed() | Delivered() if place.away:
                self._come_back(place)
            case Paused() if place.away:
                pass
            case Asked() if place.memory:
                self._give(place)
                place.send(Given())
            case Scored(scores):
                self._scored(place, scores)
            case Logged(values):
                self._log(place, values)
            case _:  # nothing of lagrad says that at this point, or twice
                assert place.connection is not None
                self._hung_up(place.connection, place)

    def _refuse(self, place: Place, reason: str) -> None:
        self.why = self.why or f"Worker {place.number}: {reason}"
        place.send(Refused(reason))
        if self.run is not None:
            self.run.fail(self.why)
        else:
            self._end_processes()

    def _describe(self, place: Place, described: Described) -> None:
        state = self.door.state(place.number, place.incarnation)
        if self.run is not None and self.run.stopped is not None:
            place.told = True
            place.send(Stop())
            return
        try:
            if self.trainee is None:
                self.trainee = ScriptModel(described, state)
            else:
                self.trainee.require_same(described)
        except ValueError as error:
            self._refuse(place, str(error))
            return
        finally:
            state.unlink(missing_ok=True)
        path = self.door.memory(place.number, place.incarnation)
        place.memory = Memory.described(path, described)
        self._give(place)
        place.memory.point.copy_(place.memory.trained)
        place.memory.buffers.copy_(place.memory.trained_buffers)
        place.send(Mapped(str(path)))

    def _give(self, place: Place) -> None:
        """Put the evaluated parameters of now into the place's memory."""
        assert place.memory is not None
        assert self.trainee is not None
        params, buffers = self.trainee.initial_params(), self.trainee.initial_buffers()
        if self.run is not None:
            params = self.run.server.evaluation_params
            buffers = buffers if self.run.server.buffers is None else self.run.server.buffers
            self.asked[place.number] = self.run.moment()
        place.memory.trained.copy_(params)
        place.memory.trained_buffers.copy_(buffers)

    def _begin(self, place: Place, begun: Begun) -> None:
        self.door.memory(place.number, place.incarnation).unlink(missing_ok=True)
        try:
            if self.run is None:
                self._open(begun)
            elif begun != self.begun:
                raise ValueError(
                    f"Expected the same data in every process, got {begun} where "
                    f"another has {self.begun}; "
                    "give session.batches(...) the whole data set on all workers."
                )
        except ValueError as error:
            self._refuse(place, str(error))
            return
        assert self.run is not None
        self.ready.append(place)
        self._start_the_ready()

    def _start_the_ready(self) -> None:
        """Let those train who can; at first when all are ready, or have died."""
        run = self.run
        if run is None or run.stopped is not None:
            return
        if self.started == math.inf:
            alive = sum(place.alive for place in self.places)
            if len(self.ready) < min(alive, self.terms.min_workers or alive):
                return
            self.started = time.monotonic()
        newly, self.ready = self.ready, []
        for place in newly:
            place.begun = True
            run.processes[place.number] = place.pid
            place.life += 1
            who, life = place.number, place.life
            self._carry_out(run.handle(Join(worker=who, incarnation=life, time=run.now)))
        for place in newly:
            self._pull(place)

    def _open(self, begun: Begun) -> None:
        terms, trainee = self.terms, self.trainee
        assert trainee is not None
        if terms.until is not None and terms.until.epochs is not None and not begun.num_samples:
            raise ValueError(
                f"Expected a budget of updates or seconds for batches of the script's own, got "
                f"epochs={terms.until.epochs}; or let the server share a data set, "
                "session.batches(dataset, batch_size=...)."
            )
        text = terms.rule or trainee.described.rule
        rule = specs.parse("rule", text) if text else default_rule(terms.workers)
        trainee.num_samples = begun.num_samples
        self.begun, self.paces = begun, Paces(begun)
        setup = Setup(
            task=Task(
                name=terms.script.stem,
                model=_elsewhere,  # type: ignore[arg-type]
                loss=_elsewhere,  # type: ignore[arg-type]
                data=_elsewhere,  # type: ignore[arg-type]
                batch_size=begun.batch_size,
            ),
            rule=rule,
            policy=terms.policy,
            workers=terms.workers,
            until=terms.until or Until(updates=2**62),  # the scripts say when
            seed=terms.seed,
            delays=terms.delays,
            ema=terms.ema,
            buffers=BufferPolicy.MEAN,
        )
        if self.folder is not None:
            where = f"run {terms.script} {' '.join(terms.arguments)}".strip()
            self.folder.config(configuration(setup, task=None, runtime=where))
        followed, self.told = follow(rule)
        self.run = Run(
            replace(setup, rule=followed), trainee, folder=self.folder, observe=self.observe
        )
        self.run.failures += self.early_failures

    def _push(self, place: Place, done: Delivered) -> None:
        run, memory = self.run, place.memory
        assert run is not None
        assert memory is not None
        if run.stopped is not None:
            return
        try:
            require_no_factor(self.told, done.rate)
        except ValueError as error:
            self._refuse(place, str(error))
            return
        if self.told is not None:
            self.told.factor = done.rate
        push = Push(
            worker=place.number,
            incarnation=place.life,
            sequence=done.sequence,
            version=done.version,
            lease=done.lease,
            values=memory.gradient,
            loss=done.loss,
            buffers=memory.pushed.clone() if memory.pushed.numel() else None,
            time=run.now,
        )
        assert self.paces is not None
        self.paces.delivered(place.number, now=run.now)
        self._carry_out(run.handle(push))
        if run.stopped is None:
            self._pull(place)

    def _pull(self, place: Place) -> None:
        assert self.run is not None
        assert self.paces is not None
        pull = Pull(
            worker=place.number,
            incarnation=place.life,
            time=self.run.now,
            batch_size=self.paces.batch_size(place.number),
        )
        self._carry_out(self.run.handle(pull))

    def _carry_out(self, commands: list[Command]) -> None:
        assert self.run is not None
        assert self.paces is not None
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

    def _scored(self, place: Place, scores: dict[str, float | None]) -> None:
        run, memory = self.run, place.memory
        moment = self.asked.get(place.number)
        if run is None or memory is None or moment is None or run.stopped is not None:
            return
        found = {name: math.nan if score is None else score for name, score in scores.items()}
        try:
            run.evaluated(
                found, moment=moment, params=memory.trained, buffers=memory.trained_buffers
            )
        except ValueError as error:  # a target on another score
            self._refuse(place, str(error))

    def _log(self, place: Place, values: dict[str, float | None]) -> None:
        if self.folder is not None and self.run is not None:
            head = {"worker": place.number, "seconds": self.run.now}
            self.folder.logged({**head, "version": self.run.server.version, **values})

    def _stop_all(self) -> None:
        for place in self.places:
            if place.memory is not None and not place.told:
                self._give(place)
                place.told = True
                place.send(Stop())

    def _hung_up(self, connection: Connection, place: Place | None) -> None:
        self.selector.unregister(connection)
        if place is None:
            connection.close()
            return
        place.hang_up()
        if place in self.ready:
            self.ready.remove(place)
        self._left(place)

    def _left(self, place: Place) -> None:
        if place.begun and self.run is not None:
            place.begun = False
            assert self.paces is not None
            self.paces.left(place.number)
            self.run.processes.pop(place.number, None)
            if self.run.stopped is None:
                leave = Leave(worker=place.number, incarnation=place.life, time=self.run.now)
                self._carry_out(self.run.handle(leave))

    def _ended(self, place: Place, ending: Ending) -> None:
        if place.connection is not None:
            self._hung_up(place.connection, place)
        if ending.code == 0:
            self.ended_well += 1
            self._start_the_ready()
            return
        words = f"Worker {place.number}: {ending.words}"
        (self.early_failures if self.run is None else self.run.failures).append(words)
        over = self.why or (self.run is not None and self.run.stopped is not None)
        if not over and (ending.lost or self.restarts_left[place.number]):
            self.restarts_left[place.number] -= not ending.lost
            self._spawn(place)
        elif ending.code > 0:
            self.given_up.add(place.number)
        self._start_the_ready()

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
        if self.folder is not None:
            self.folder.close()
