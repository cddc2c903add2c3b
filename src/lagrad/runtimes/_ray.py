"""Workers on the machines of a Ray cluster, which come and go."""

import math
import multiprocessing.connection
import time
from dataclasses import dataclass

import torch

from lagrad.core import Command, Join, Leave, Pull, Push, Send, Shutdown, Tick
from lagrad.tasks import Differentiator

from ._cluster import Cluster, End, require_packages
from ._folder import Folder
from ._memory import Points, forget, share
from ._ray_worker import Job, Worker
from ._result import Result, Stopped
from ._run import Observer, Run, held_forever
from ._scorer import Scorer
from ._setup import Setup
from ._threads import torch_threads
from ._wire import Compute, Computed, Hello, Keys, Letter, Stop, Wire, name_of

#: Longest sleep of the loop, so that signals, deaths and the observer are served, in seconds.
_PULSE_S = 0.1
#: How long actors may take to end by themselves before Ray kills them, in seconds.
_GRACE_S = 3.0


@dataclass(frozen=True)
class Ray:
    """Workers as actors that Ray places, watches and starts again; the server in this process.

    address: of a cluster as `ray.init` takes it, such as "auto" on one of its nodes; None: the
    cluster this process is connected to, else one of its own on this machine, for the run alone.
    A run's workers are at most as many; min_workers: how many must be there to start, and to go
    on; None: all to start, one to go on. Those that find no room wait for it, and join when a node
    brings it. cpus_per_worker: logical processors that Ray reserves for each.
    restarts: how often a worker whose own code fails is started again, each; one whose node or
    process is lost comes back always. seconds_per_job: as of `Local`. patience: seconds that a
    connection, the start, or being fewer than min_workers may last.
    Raises: ValueError for numbers out of range, or without the packages; RunFailed where a run
    cannot go on.
    """

    address: str | None = None
    min_workers: int | None = None
    cpus_per_worker: float = 1.0
    restarts: int = 0
    seconds_per_job: float | None = None
    patience: float = 120.0

    def __post_init__(self) -> None:
        require_packages()
        if self.min_workers is not None and self.min_workers < 1:
            raise ValueError(
                f"Expected min_workers >= 1 or None, got {self.min_workers}; None waits for all."
            )
        if self.restarts < 0:
            raise ValueError(f"Expected restarts >= 0, got {self.restarts}; use 0 for none.")
        for name in ("cpus_per_worker", "patience"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"Expected {name} > 0, got {getattr(self, name)}; leave it out for the usual."
                )
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
        """Yes: the task is sent to other processes."""
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
        if self.min_workers is not None and self.min_workers > setup.workers:
            raise ValueError(
                f"Expected min_workers of at most the run's {setup.workers} workers, "
                f"got {self.min_workers}; raise workers."
            )
        with torch_threads(1):
            own = differentiator or Differentiator(setup.task, setup.seed)
            run = Run(setup, own, folder=folder, observe=observe)
            cpus = setup.workers * self.cpus_per_worker
            cluster = Cluster(self.address, cpus=cpus, patience=self.patience)
            try:
                with run.interruptible():
                    crew = _Crew(run, self, cluster)
                    try:
                        crew.assemble()
                        crew.train()
                    finally:
                        crew.disband()
                    return run.result()
            finally:
                cluster.leave()


@dataclass
class _Berth:
    """A worker's place in the run. incarnation: of the actor that was started last."""

    number: int
    incarnation: int = -1
    ready: bool = False
    shares: bool = False
    failures: int = 0
    heard_at: float = 0.0

    @property
    def name(self) -> bytes:
        """How listeners know it."""
        return name_of(self.number, self.incarnation)


class _Crew:
    def __init__(self, run: Run, ray: Ray, cluster: Cluster) -> None:
        setup, params = run.setup, run.server.params
        self.run, self.ray, self.cluster = run, ray, cluster
        self.least = ray.min_workers
        self.berths = [_Berth(number) for number in range(setup.workers)]
        self.by_name: dict[bytes, _Berth] = {}
        buffers = run.differentiator.initial_buffers()
        self.num_buffers = buffers.numel()
        largest = max(params.nbytes, buffers.nbytes)
        self.wire, self.address = Wire.listen(cluster.host, Keys.make(), largest)
        self.points_place, rows = share(cluster.node, setup.workers + 1, params)
        self.points = Points(rows)
        self.gradients_place, self.gradients = share(cluster.node, setup.workers, params)
        self.scorer = Scorer(run)
        self.started = math.inf
        self.short_since = time.monotonic()
        self.looked_at = 0.0

    @property
    def ready(self) -> int:
        """How many workers are there."""
        return sum(berth.ready for berth in self.berths)

    def assemble(self) -> None:
        """Start all processes; wait for the evaluator's and for as many workers as it takes."""
        self.scorer.start()
        for berth in self.berths:
            self._start(berth)
        wanted = len(self.berths) if self.least is None else self.least
        while self.run.stopped is None and (self.ready < wanted or not self.scorer.ready):
            self._listen(_PULSE_S)
            self._look_for_ends()
            self.run.show()
            if time.monotonic() - self.short_since > self.ray.patience:
                self.run.fail(
                    f"Only {self.ready} of {wanted} workers were there within "
                    f"{self.ray.patience:g} s; the cluster needs free processors for them."
                )

    def _start(self, berth: _Berth) -> None:
        setup = self.run.setup
        self.by_name.pop(berth.name, None)
        berth.incarnation += 1
        berth.ready = False
        self.by_name[berth.name] = berth
        job = Job(
            task=setup.task,
            seed=setup.seed,
            worker=berth.number,
            incarnation=berth.incarnation,
            delays=setup.delays,
            seconds_per_job=self.ray.seconds_per_job,
            server=self.address,
            points=self.points_place,
            gradients=self.gradients_place,
        )
        self.cluster.start(berth.number, Worker, job, cpus=self.ray.cpus_per_worker)

    def _listen(self, timeout: float) -> None:
        """Wait for messages, at most so long, and take in what has come."""
        sources = [self.wire.socket.fd, *self.scorer.sources()]
        # What has come before is not announced by the socket's file again.
        letter = self.wire.receive()
        if letter is None:
            multiprocessing.connection.wait(sources, max(0.0, timeout))
            letter = self.wire.receive()
        while letter is not None:
            self._pass_time()
            if self.run.stopped is None:
                self._take(letter)
            letter = self.wire.receive()
        self._pass_time()
        self.scorer.take()

    def train(self) -> None:
        """From the first pull to the reason to stop, then the last evaluation."""
        run = self.run
        if run.stopped is not None:
            return
        self.started = time.monotonic()
        present = [berth for berth in self.berths if berth.ready]
        for berth in present:
            self._carry_out(run.handle(Join(worker=berth.number, incarnation=berth.incarnation)))
        for berth in present:
            self._carry_out(run.handle(Pull(worker=berth.number, incarnation=berth.incarnation)))
        while run.stopped is None:
            self._listen(self._patience())
            self._look_for_ends()
            self._keep_time()
            run.show()
        self._dismiss()
        if run.stopped in (Stopped.TARGET, Stopped.BUDGET):
            self.scorer.score_the_rest()

    def _pass_time(self) -> None:
        if self.run.stopped is None and self.started < math.inf:
            self.run.now = time.monotonic() - self.started

    def _patience(self) -> float:
        run = self.run
        moments = [run.now + _PULSE_S, run.server.next_tick()]
        moments += [run.setup.until.seconds, self.scorer.next_time()]
        return min(moment for moment in moments if moment is not None) - run.now

    def _keep_time(self) -> None:
        run = self.run
        run.look_at_budget()
        tick = run.server.next_tick()
        if run.stopped is None and tick is not None and run.now >= tick:
            self._carry_out(run.handle(Tick(time=run.now)))
        if run.stopped is None and self.ready < (self.least or 1):
            if time.monotonic() - self.short_since > self.ray.patience:
                words = f"; the last words:\n{run.failures[-1]}" if run.failures else "."
                run.fail(f"Fewer than {self.least or 1} workers for {self.ray.patience:g} s{words}")
        else:
            self.short_since = time.monotonic()
            if run.stopped is None and run.server.asleep and self.ready == len(self.berths):
                run.fail(held_forever(run.setup.policy))
        if run.stopped is None:
            self.scorer.keep_time()

    def _take(self, letter: Letter) -> None:
        berth = self.by_name.get(letter.peer)
        if berth is None:
            return  # an incarnation that is over
        berth.heard_at = self.run.now
        match letter.message:
            case Hello(pid, node):
                self.cluster.settled(berth.number, node)
                self.run.processes[berth.number] = pid
                berth.ready, berth.shares = True, node == self.cluster.node
                if self.started < math.inf:
                    now, who, life = self.run.now, berth.number, berth.incarnation
                    self._carry_out(self.run.handle(Join(worker=who, incarnation=life, time=now)))
                    self._pull(berth)
            case Computed():
                self._push(berth, letter.message, letter)

    def _push(self, berth: _Berth, done: Computed, letter: Letter) -> None:
        run, params = self.run, self.run.server.params
        self.points.release(berth.number)
        values = self.gradients[berth.number]
        if not berth.shares:
            values = letter.tensor(-1, params.dtype, params.numel())
        buffers = None
        if self.num_buffers:
            buffers = letter.tensor(0, torch.float64, self.num_buffers).clone()
        push = Push(
            worker=berth.number,
            incarnation=berth.incarnation,
            sequence=done.sequence,
            version=done.version,
            lease=done.lease,
            values=values,
            loss=math.nan if done.loss is None else done.loss,
            buffers=buffers,
            time=run.now,
        )
        self._carry_out(run.handle(push))
        if run.stopped is None:
            self._pull(berth)

    def _pull(self, berth: _Berth) -> None:
        pull = Pull(worker=berth.number, incarnation=berth.incarnation, time=self.run.now)
        self._carry_out(self.run.handle(pull))

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send():
                    self._send(self.berths[command.worker], command)
                case Shutdown():
                    self.cluster.stop(command.worker)

    def _send(self, berth: _Berth, send: Send) -> None:
        row = self.points.hold(berth.number, send.version, send.point)
        tensors = [] if send.buffers is None else [send.buffers]
        if not berth.shares:
            tensors.append(self.points.rows[row])
        order = Compute(send.version, send.lease, row if berth.shares else None)
        self.wire.send(order, *tensors, peer=berth.name)

    def _look_for_ends(self) -> None:
        now = time.monotonic()
        if now - self.looked_at < _PULSE_S:
            return
        for end in self.cluster.ended():
            self._lost(self.berths[end.key], end)
        self.looked_at = time.monotonic()

    def _lost(self, berth: _Berth, end: End) -> None:
        run = self.run
        run.processes.pop(berth.number, None)
        self.points.release(berth.number)
        was_ready, berth.ready = berth.ready, False
        if self.started == math.inf and end.failed:
            run.fail(f"Worker {berth.number} could not start: {end.words}")
            return
        silent = f" after {run.now - berth.heard_at:.1f} s of silence" if was_ready else ""
        run.failures.append(f"Worker {berth.number}: {end.words}{silent}")
        if was_ready and self.started < math.inf:
            leave = Leave(worker=berth.number, incarnation=berth.incarnation, time=run.now)
            self._carry_out(run.handle(leave))
        berth.failures += end.failed
        if run.stopped is None and berth.failures <= self.ray.restarts:
            self._start(berth)
        elif all(each.failures > self.ray.restarts for each in self.berths):
            run.fail(f"Every worker is gone; the last words:\n{run.failures[-1]}")

    def _dismiss(self) -> None:
        for berth in self.berths:
            if berth.ready:
                self.wire.send(Stop(), peer=berth.name)

    def disband(self) -> None:
        """No process outlives the run."""
        self._dismiss()
        self.scorer.end()
        self.cluster.stop(*(berth.number for berth in self.berths if not berth.ready))
        self.cluster.await_end(_GRACE_S)
        self.cluster.stop(*(berth.number for berth in self.berths))
        self.wire.close()
        forget(self.points_place)
        forget(self.gradients_place)
