"""The loop of a Ray run: events from workers and shards to the server, commands to them."""

import math
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from msgspec import structs
from torch import Tensor

from lagrad.core import (
    Command,
    Event,
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
from lagrad.runtimes._result import Stopped
from lagrad.runtimes._run import Run, held_forever
from lagrad.runtimes._throttle import Throttle
from lagrad.runtimes.local._sabotage import Sabotage
from lagrad.runtimes.local._scorer import Scorer
from lagrad.runtimes.wire._compression import Compression
from lagrad.runtimes.wire._messages import (
    Brought,
    Compute,
    Computed,
    Hello,
    Key,
    Leaving,
    Missed,
    Stop,
)
from lagrad.runtimes.wire._pulses import Pulses
from lagrad.runtimes.wire._wire import Keys, Letter, Wire, poll

from ._berth import Berth
from ._cluster import Cluster, End
from ._shards import Shards
from ._stalls import Stalls
from ._whole import Whole
from ._worker import Job, Worker

#: Longest sleep of the loop, so that signals, deaths and the observer are served, in seconds.
_PULSE_S = 0.1
#: How long actors may take to end by themselves before Ray kills them, in seconds.
_GRACE_S = 3.0


@dataclass(frozen=True)
class Terms:
    """Of the runtime; see there."""

    servers: int
    min_workers: int | None
    cpus_per_worker: float
    restarts: int
    seconds_per_job: float | None
    hung_after: float | None
    compression: Compression | None
    patience: float
    device: str


class Crew:
    """The processes of a run, and what passes between them and its server."""

    #: What a checkpoint keeps, besides what shards have.
    CHANGES = ("run", "berths", "blame", "shards")

    def __init__(self, run: Run, terms: Terms, cluster: Cluster) -> None:
        setup, params = run.setup, run.trainee.initial_params()
        self.run, self.terms, self.cluster = run, terms, cluster
        self.least = terms.min_workers
        self.gpus = 0.0 if terms.device == "cpu" else cluster.gpus_of_each(setup.workers)
        self.berths = [Berth(number, Backoff(terms.restarts)) for number in range(setup.workers)]
        self.by_name: dict[bytes, Berth] = {}
        buffers = run.trainee.initial_buffers()
        self.num_buffers = buffers.numel()
        largest = max(params.nbytes, buffers.nbytes)
        keys = Keys.make()
        self.wire, self.address = Wire.listen(cluster.host, keys, largest)
        #: Who keeps the vector: one of these.
        self.whole: Whole | None = None
        self.shards: Shards | None = None
        if terms.servers == 1:
            self.whole = Whole(
                cluster.node,
                self.wire,
                params,
                workers=setup.workers,
                compression=terms.compression,
            )
        else:
            self.shards = Shards(
                setup,
                run.trainee,
                run.server,
                cluster,
                servers=terms.servers,
                compression=terms.compression,
                wire=self.wire,
                address=self.address,
                keys=keys,
                replaced=self._show_holders,
                patience=terms.patience,
            )
            run.params = lambda: self._gather()[0]
            run.evaluation_params = lambda: self._gather()[1]
        self.blame = Blame()
        self.pulses = Pulses(after=terms.hung_after)
        self.scorer = Scorer(run)
        self.sabotage = Sabotage(run, dict(enumerate(self.berths)), self._signal)
        self.clock = Clock(run)
        self.short_since = time.monotonic()
        self.looks = Throttle(_PULSE_S)
        self.stalls = Stalls(run)
        self.closed = False

    @property
    def ready(self) -> int:
        """How many workers are there."""
        return sum(berth.ready for berth in self.berths)

    def assemble(self) -> None:
        """Start all processes; wait for the evaluator's and for as many workers as it takes."""
        self.scorer.start()
        if self.shards is not None:
            self.shards.start()
        for berth in self.berths:
            berth.incarnation = self.run.newest.get(berth.number, -1)
            self._start(berth)
        wanted = len(self.berths) if self.least is None else self.least
        while self.run.stopped is None and not self._all_there(wanted):
            self._listen(_PULSE_S)
            self._look_after_actors()
            self.run.show()
            if time.monotonic() - self.short_since > self.terms.patience:
                self.run.fail(
                    f"Only {self.ready} of {wanted} workers were there within "
                    f"{self.terms.patience:g} s; the cluster needs free processors for them."
                )

    def _all_there(self, wanted: int) -> bool:
        shards = self.shards is None or self.shards.ready
        return self.ready >= wanted and self.scorer.ready and shards

    def _start(self, berth: Berth) -> None:
        setup = self.run.setup
        self.by_name.pop(berth.name, None)
        berth.place.began(time.monotonic())
        berth.incarnation += 1
        berth.ready = berth.leaving = False
        self.by_name[berth.name] = berth
        job = Job(
            task=setup.task,
            seed=setup.seed,
            worker=berth.number,
            incarnation=berth.incarnation,
            delays=setup.job_times,
            seconds_per_job=self.terms.seconds_per_job,
            server=self.address,
            regions=None if self.whole is None else self.whole.regions,
            compression=self.terms.compression,
            cuts=self.shards.bounds if self.shards else (),
            device=self.terms.device,
        )
        cpus = self.terms.cpus_per_worker
        self.cluster.start(berth.number, Worker, job, cpus=cpus, gpus=self.gpus)

    def _listen(self, timeout: float) -> None:
        """Wait for messages, at most so long, and take in what has come."""
        poll([self.wire], timeout, [each.fileno() for each in self.scorer.sources()])
        while (letter := self.wire.receive()) is not None:
            self.clock.look()
            if self.pulses.take(letter):
                continue
            if self.shards is not None and (life := self.shards.life_of(letter.peer)):
                self._feed(self.shards.take(life, letter))
            elif self.run.stopped is None:
                self._take(letter)
        self.clock.look()
        self.scorer.take()

    def train(self, keeper: Keeper) -> None:
        """From the first pull to the reason to stop, then the last evaluation."""
        run = self.run
        if run.stopped is not None:
            return
        self.clock.start(keeper.go_on())
        self.stalls.stepped()
        if self.shards is not None:
            self.shards.begin()
            self._show_holders()
        keeper.begin()
        for leave in all_leave(run):
            self._leave(leave)
        present = [berth for berth in self.berths if berth.ready]
        for berth in present:
            who, life = berth.number, berth.incarnation
            self._handle(Join(worker=who, incarnation=life, time=run.now))
        for berth in present:
            self._pull(berth)
        while run.stopped is None:
            self._listen(self._idle_s())
            self._look_after_actors()
            self._keep_time()
            run.show()
            keeper.keep_time()
        keeper.end()
        self.sabotage.cease()
        self._dismiss()
        if self.shards is not None:
            self._gather()
        if run.stopped in (Stopped.TARGET, Stopped.BUDGET):
            self.scorer.score_the_rest()

    def _signal(self, worker: int, number: signal.Signals) -> None:
        self.cluster.signal(worker, number)

    def _idle_s(self) -> float:
        """How long there is nothing to do for `_keep_time`."""
        moments = [self.scorer.next_time(), self.sabotage.next_time()]
        return min(_PULSE_S, self.clock.left(self.run.setup.until.seconds, *moments))

    def _keep_time(self) -> None:
        run = self.run
        run.look_at_budget()
        if (tick := self.clock.due()) is not None:
            self._handle(tick)
        if run.stopped is None and self.ready < (self.least or 1):
            if time.monotonic() - self.short_since > self.terms.patience:
                words = f"; the last words:\n{run.failures[-1]}" if run.failures else "."
                run.fail(
                    f"Fewer than {self.least or 1} workers for {self.terms.patience:g} s{words}"
                )
        else:
            self.short_since = time.monotonic()
            if run.stopped is None and run.server.asleep and self.ready == len(self.berths):
                run.fail(held_forever(run.setup.policy))
        if self.whole is not None:
            self.whole.keep_time()
        if run.stopped is None:
            self.sabotage.keep_time()
            self.scorer.keep_time()

    def _take(self, letter: Letter) -> None:
        berth = self.by_name.get(letter.peer)
        if berth is None:
            return  # an incarnation that is over
        berth.heard_at = self.run.now
        match letter.message:
            case Hello(pid, node):
                self.cluster.settled(berth.number, node, pid)
                self.run.processes[berth.number] = pid
                berth.ready, berth.node = True, node
                if self.clock.goes:
                    if self.shards is not None:
                        self.wire.send(self.shards.holders, peer=berth.name)
                    now, who, life = self.run.now, berth.number, berth.incarnation
                    self._handle(Join(worker=who, incarnation=life, time=now))
                    self._pull(berth)
            case Computed():
                self._computed(berth, letter.message, letter)
            case Leaving():
                berth.leaving = True
            case Missed(version):
                member = self.run.server.ledger.members.get(berth.number)
                if member and member.lease is not None and member.version == version:
                    if self.whole is not None:
                        self.whole.missed(berth)
                    self._pull(berth)
            case Brought() as news if self.whole is not None:
                self.whole.brought(berth, news)

    def _show_holders(self) -> None:
        assert self.shards is not None
        for berth in self.berths:
            if berth.ready:
                self.wire.send(self.shards.holders, peer=berth.name)

    def _computed(self, berth: Berth, done: Computed, letter: Letter) -> None:
        buffers: Tensor | None = None
        if self.num_buffers:
            buffers = letter.tensor(0, torch.float64, self.num_buffers).clone()
        if self.shards is not None:
            key = Key(berth.number, berth.incarnation, done.sequence)
            self._feed(self.shards.computed(key, done, buffers))
            return
        assert self.whole is not None
        push = Push(
            worker=berth.number,
            incarnation=berth.incarnation,
            sequence=done.sequence,
            version=done.version,
            lease=done.lease,
            values=self.whole.gradient(berth, letter),
            loss=math.nan if done.loss is None else done.loss,
            buffers=buffers,
        )
        self._feed([push])

    def _alone(self, berth: Berth) -> bool:
        """Whether no other worker is on its host."""
        return sum(other.ready and other.node == berth.node for other in self.berths) == 1

    def _feed(self, pushes: Sequence[Push]) -> None:
        for push in pushes:
            if self.run.stopped is not None:
                return
            arrived = False
            for event in self.run.arrivals(structs.replace(push, time=self.run.now)):
                arrived |= isinstance(event, Push)
                self._handle(event)
            if self.shards is not None and not arrived:
                self.shards.refuse(Key(push.worker, push.incarnation, push.sequence))

    def _pull(self, berth: Berth) -> None:
        pull = Pull(worker=berth.number, incarnation=berth.incarnation, time=self.run.now)
        self._handle(pull)

    def _leave(self, leave: Leave) -> None:
        if self.shards is not None:
            self.shards.left(leave.worker, leave.incarnation)
        self._handle(leave)

    def _handle(self, event: Event) -> None:
        version = self.run.server.version
        # What is for an incarnation that is over reaches nobody.
        commands = [
            command
            for command in self.run.handle(event)
            if not isinstance(command, Send)
            or command.incarnation == self.berths[command.worker].incarnation
        ]
        if self.shards is not None:
            self.shards.carry_out(
                commands,
                node_of=lambda worker: self.berths[worker].node,
                shares=lambda worker: not self._alone(self.berths[worker]),
            )
        self._carry_out(commands)
        if self.run.server.version > version:
            self.stalls.stepped()

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send():
                    berth = self.berths[command.worker]
                    if self.whole is not None:
                        self.whole.send(berth, command, alone=self._alone(berth))
                    else:  # the point comes from the shards
                        buffers = [] if command.buffers is None else [command.buffers]
                        order = Compute(command.version, command.lease, None)
                        self.wire.send(order, *buffers, peer=berth.name)
                case SetAside():
                    self._clear(command.lease.number)
                case Shutdown():
                    self.cluster.stop(command.worker)

    def _clear(self, lease: int) -> None:
        """It was the samples: no worker has failed over them."""
        applied = self.run.server.verdicts[Outcome.APPLIED]
        for worker in self.blame.set_aside(lease, applied=applied):
            self.berths[worker].place.cleared(time.monotonic())

    def _look_after_actors(self) -> None:
        """Now and then: see who has ended, end those that hang, start those whose time has come."""
        if not self.looks.due(time.monotonic()):
            return
        for look in (self.cluster.ended, self._end_those_that_hang):
            for end in look():
                if self.shards is not None and isinstance(end.key, bytes):
                    self._lost_shard(self.shards, end)
                else:
                    self._lost(self.berths[end.key], end)
        for berth in self.berths:
            if berth.leaving and not (self.shards and self.shards.awaits(berth.number)):
                self.wire.send(Stop(), peer=berth.name)  # all it has computed is here
            due = berth.place.due
            if self.run.stopped is None and due is not None and time.monotonic() >= due:
                self._start(berth)

    def _end_those_that_hang(self) -> list[End]:
        names = {*self.by_name}
        if self.shards is not None:
            names |= {life.name for life in self.shards.lives.values()}
        found = []
        for name, words in self.pulses.look(time.monotonic(), names).items():
            key = self.by_name[name].number if name in self.by_name else name
            self.cluster.fell(key)
            told = f"{words}; it hung and was ended"
            found.append(End(key, told, node_lost=False, failed=False, hung=True))
        return found

    def _lost(self, berth: Berth, end: End) -> None:
        run = self.run
        run.processes.pop(berth.number, None)
        self.by_name.pop(berth.name, None)
        by_fault = False
        if berth.ready and self.clock.goes:
            by_fault = self.sabotage.lost(berth.number)
        if self.whole is not None:
            self.whole.lost(berth)
        was_ready, berth.ready = berth.ready, False
        if not self.clock.goes and end.failed:
            run.fail(f"Worker {berth.number} could not start: {end.words}")
            return
        took_part = was_ready and self.clock.goes
        failed = (end.failed or end.hung) and not (berth.leaving or by_fault)
        if berth.leaving:
            run.tallies[berth.number].preemptions += 1
            berth.place.left(time.monotonic())
        else:
            silent = f" after {run.now - berth.heard_at:.1f} s of silence" if was_ready else ""
            words = f"Worker {berth.number}: {end.words}{silent}"
            if took_part:
                self.stalls.note(words)
            else:
                run.failures.append(words)
        if failed:
            berth.place.failed(time.monotonic())
        if took_part:
            who, life = berth.number, berth.incarnation
            lease = run.server.ledger.members[who].lease
            if failed and lease is not None:
                self.blame.failed(worker=who, lease=lease.number)
            self._leave(Leave(worker=who, incarnation=life, time=run.now, failed=failed))
        if not (failed or berth.leaving) and run.stopped is None:
            self._start(berth)
        if failed and all(each.place.failures > self.terms.restarts for each in self.berths):
            run.fail(f"Every worker is gone; the last words:\n{run.failures[-1]}")

    def _lost_shard(self, shards: Shards, end: End) -> None:
        run = self.run
        number = shards.lives[int(end.key[1:])].slice
        if not self.clock.goes and end.failed:
            run.fail(f"A shard of slice {number} could not start: {end.words}")
            return
        self.stalls.note(f"A shard of slice {number}: {end.words}")
        fatal, pushes = shards.lost(end.key)
        if fatal:
            run.fail(f"{fatal}; the last words:\n{end.words}")
        self._feed(pushes)

    def _gather(self) -> tuple[Tensor, Tensor]:
        assert self.shards is not None
        if self.closed:
            return self.shards.known
        return self.shards.gather(self._await_copies)

    def _await_copies(self) -> bool:
        self._listen(_PULSE_S)
        self._look_after_actors()
        return self.run.stopped is not Stopped.FAILED

    def _dismiss(self) -> None:
        for berth in self.berths:
            if berth.ready:
                self.wire.send(Stop(), peer=berth.name)

    def disband(self) -> None:
        """No process outlives the run."""
        self.sabotage.cease()
        self._dismiss()
        self.scorer.end()
        self.cluster.stop(*(berth.number for berth in self.berths if not berth.ready))
        if self.shards is not None:
            self.shards.end()
        self.cluster.await_end(_GRACE_S)
        self.cluster.stop_all()
        self.wire.close()
        self.closed = True
        if self.whole is not None:
            self.whole.close()
