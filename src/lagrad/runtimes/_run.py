"""One run in progress: the server, its books, its folder, and the reasons to stop."""

import math
import time
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor

from lagrad.chaos import Plan
from lagrad.core import (
    Command,
    Event,
    Join,
    Outcome,
    Policy,
    Pull,
    Push,
    Quarantine,
    RollBack,
    Send,
    Server,
    Verdict,
)
from lagrad.trace import Struck, TraceWriter, digest

from ._folder import Folder
from ._journal import Journal, Scored
from ._result import Evaluation, Result, RunFailed, Stopped, WorkerTally, finite
from ._server import buffers_at, new_server
from ._setup import Setup
from ._shortage import shortage
from ._signals import taking_signals
from ._trainee import Trainee

Observer = Callable[["Run"], None]
_OBSERVE_EVERY_S = 0.1
#: So many rejected pushes per worker, with none applied between, mean that the run has diverged.
_REJECTED_PER_WORKER = 10


@dataclass(frozen=True)
class Moment:
    """Where a run stood: on its clock, in versions, and its line of `metrics.jsonl`."""

    seconds: float
    version: int
    row: dict[str, Any]


class Run:
    """What all runtimes do alike: feed the server, keep the books, find the reasons to stop.

    observe: called with this run at most ten times a second, for progress.
    now: the runtime's clock in seconds, kept by the runtime. stopped: None while it goes on.
    processes: of the live workers, by number (none in the simulator). server: None for the setup's.
    plan: the faults asked for, and how often each has happened. journal: where events are written
    down before the server is told. newest: the last incarnation of each worker that has joined.
    alone_since: when the last worker was lost, None where one is there; see `attended`.
    """

    #: What a checkpoint keeps.
    CHANGES = (
        "server",
        "tallies",
        "evaluations",
        "now",
        "loss",
        "seconds_to_target",
        "failures",
        "rollbacks",
        "plan",
        "newest",
        "_rejected",
        "_noted",
        "_best",
        "_cut",
    )

    def __init__(
        self,
        setup: Setup,
        trainee: Trainee,
        *,
        folder: Folder | None,
        observe: Observer | None,
        server: Server | None = None,
    ) -> None:
        self.setup = setup
        self.trainee = trainee
        self.server = new_server(setup, trainee) if server is None else server
        #: Where the parameters are to be had, and those that are evaluated: here, but for shards.
        self.params: Callable[[], Tensor] = lambda: self.server.params
        self.evaluation_params: Callable[[], Tensor] = lambda: self.server.evaluation_params
        self.trace = TraceWriter(None) if folder is None else folder.trace
        self.tallies = [WorkerTally() for _ in range(setup.workers)]
        self.evaluations: list[Evaluation] = []
        self.now = 0.0
        self.loss = math.nan
        self.stopped: Stopped | None = None
        self.seconds_to_target: float | None = None
        self.failures: list[str] = []
        self.given_up: tuple[int, ...] = ()
        self.processes: dict[int, int] = {}
        self.rollbacks = 0
        self.plan = Plan(setup.chaos, seed=setup.seed)
        self.journal: Journal | None = None
        self.newest: dict[int, int] = {}
        self.alone_since: float | None = None
        self._best: float | None = None
        self._cut: tuple[Push, bool] | None = None
        self._rejected = 0
        self._noted = -1
        self._failure = ""
        self._cause: BaseException | None = None
        self._folder = folder
        self._observe = observe
        self._observed_at = 0.0
        if folder is not None and folder.left is None:
            # So that a run that diverges before its first evaluation leaves weights, too.
            buffers = trainee.initial_buffers()
            folder.weights(trainee.state_dict(trainee.initial_params(), buffers))

    def handle(self, event: Event) -> list[Command]:
        """Feed one event to the server; log, count and watch."""
        if self.journal is not None:
            self.journal.event(event)
        if type(event) is Join:
            self.newest[event.worker] = event.incarnation
        commands = self.server.handle(event)
        self.trace.event(event, commands)
        for command in commands:
            if isinstance(command, Send):
                if self.setup.chaos:
                    for number in self.plan.slow(command.worker):
                        self._strike(number, command.worker)
            elif isinstance(command, Verdict):
                self.tallies[command.worker].count(command)
                self._watch(command)
            elif isinstance(command, Quarantine):
                self.tallies[command.worker].quarantines += 1
            elif isinstance(command, RollBack):
                self.rollbacks += 1
        if isinstance(event, Push) and event.loss is not None:
            self._hear(event.loss)
        self.look_at_budget()
        return commands

    @property
    def exchanges(self) -> bool:
        """Whether `exchange` can be asked now."""
        return not self.setup.chaos and self.journal is None and self.server.exchanges

    def exchange(self, pushes: Sequence[Push], values: Tensor) -> list[Send]:
        """What the workers are sent after each of these pushes, as `Server.exchange` says it.

        Their losses are finite, and none of them spends a budget.
        """
        sends = []
        for push, (verdict, send) in zip(pushes, self.server.exchange(pushes, values), strict=True):
            self.trace.exchange(push, verdict, send)
            self.tallies[push.worker].count(verdict)
            if push.loss is not None:
                self._hear(push.loss)
            self.now = push.time
            sends.append(send)
        self._rejected = 0
        return sends

    def _hear(self, loss: float) -> None:
        if not math.isfinite(loss):
            self.stop(Stopped.DIVERGED)
        old = self.loss
        self.loss = loss if math.isnan(old) else 0.95 * old + 0.05 * loss

    def arrivals(self, push: Push, *, batch_size: int | None = None) -> Iterator[Event]:
        """What reaches the server of a push and the pull after it: all of it, but for faults.

        batch_size: of the pull.
        """
        if self._hit("drop", push):
            yield _pull_after(push, batch_size)
            return
        if self._hit("nan", push):
            values = torch.full_like(push.values, math.nan)
            push = msgspec.structs.replace(push, values=values, finite=None, length=None)
        yield push
        yield from self._after(push, batch_size, asked=False)

    def left_over(self) -> Iterator[Event]:
        """What was still to reach the server when the run stopped: it comes when it goes on."""
        if self._cut is not None:
            push, asked = self._cut
            self._cut = None
            yield from self._after(push, None, asked=asked)

    def _after(self, push: Push, batch_size: int | None, *, asked: bool) -> Iterator[Event]:
        if self.stopped is None and not asked:
            asked = True
            yield _pull_after(push, batch_size)
        if self.stopped is not None:
            self._cut = (push, asked)
        elif self._hit("duplicate", push):
            yield push

    def _hit(self, kind: str, push: Push) -> bool:
        if not self.setup.chaos:
            return False
        number = self.plan.hit(
            kind, worker=push.worker, incarnation=push.incarnation, sequence=push.sequence
        )
        if number is not None:
            self.struck(number, push.worker)
        return number is not None

    def struck(self, number: int, worker: int) -> None:
        """A fault happens to a worker now: log and count it."""
        record = self._strike(number, worker)
        if self.journal is not None:
            self.journal.note(record)

    def _strike(self, number: int, worker: int) -> Struck:
        self.plan.note(number)
        record = Struck(self.now, number, self.plan.faults[number].kind, worker)
        self.trace.struck(record)
        return record

    def redo(self, happening: Event | Struck | Scored) -> None:
        """Take in what a journal says has happened."""
        match happening:
            case Struck():
                self.now = happening.time
                self.struck(happening.number, happening.worker)
            case Scored(seconds, version, row):
                scores = {
                    name: math.nan if score is None else score
                    for name, score in happening.scores.items()
                }
                self._scored(scores, Moment(seconds, version, row), None)
            case _:
                self.now = happening.time
                self.handle(happening)

    def _watch(self, verdict: Verdict) -> None:
        # The server rejects gradients that are not finite one by one; when nothing else comes any
        # more, the run would never end.
        if verdict.outcome is Outcome.APPLIED:
            self._rejected = 0
        elif verdict.outcome is Outcome.REJECTED:
            self._rejected += 1
            if self._rejected >= _REJECTED_PER_WORKER * self.setup.workers:
                self.stop(Stopped.DIVERGED)

    def attended(self, somebody: bool) -> None:
        """Take in whether any worker is there; times in which the server waits for one are said."""
        if not somebody and self.alone_since is None:
            self.alone_since = self.now
        elif somebody and self.alone_since is not None:
            words = f"{self.now - self.alone_since:.1f} s from {self.alone_since:.1f} s on"
            self.failures.append(f"No worker was there for {words}")
            self.alone_since = None

    def look_at_budget(self) -> None:
        """Stop if a budget is spent."""
        spent = self.setup.until.spent(
            updates=self.server.version, seconds=self.now, epochs=self.server.leases.epochs_settled
        )
        if spent:
            self.stop(Stopped.BUDGET)

    def look_back(self) -> None:
        """Stop if what has been seen so far is enough for the budgets and the target."""
        goal = self.setup.until.goal
        reached = [
            evaluation.seconds
            for evaluation in self.evaluations
            if goal is not None and goal.reached(evaluation.scores)
        ]
        self.seconds_to_target = min(reached, default=None)
        if reached:
            self.stop(Stopped.TARGET)
        self.look_at_budget()

    def stop(self, reason: Stopped) -> None:
        """End the run; the first reason stands."""
        self.stopped = self.stopped or reason

    def fail(self, why: str) -> None:
        """End the run, which cannot go on; `result` will say why."""
        if self.stopped in (None, Stopped.BUDGET):  # a spent budget wants a last evaluation
            self.stopped = Stopped.FAILED
            self._failure = why

    def show(self) -> None:
        """Let the observer look, if it has not lately."""
        if self._observe is not None and time.monotonic() - self._observed_at > _OBSERVE_EVERY_S:
            self._observe(self)
            self._observed_at = time.monotonic()

    def moment(self) -> Moment:
        """Where the run stands now."""
        verdicts = {outcome.value: self.server.verdicts[outcome] for outcome in Outcome}
        row = {
            "seconds": self.now,
            "version": self.server.version,
            "training_loss": finite(self.loss),
            **verdicts,
            "staleness": [(t.tau_min, t.tau_mean, t.tau_max) for t in self.tallies],
            "total_momentum": self.server.total_momentum.total,
        }
        return Moment(self.now, self.server.version, row)

    def evaluated(
        self,
        scores: dict[str, float],
        *,
        moment: Moment,
        params: Tensor,
        buffers: Tensor,
    ) -> None:
        """Take in the scores of the parameters as they were at a moment.

        Of a task without scores, the moment is noted all the same.
        """
        if self.journal is not None:
            told = {name: finite(score) for name, score in scores.items()}
            self.journal.note(Scored(moment.seconds, moment.version, moment.row, told))
        self._scored(scores, moment, (params, buffers))

    def _scored(
        self, scores: dict[str, float], moment: Moment, of: tuple[Tensor, Tensor] | None
    ) -> None:
        """Take in scores of parameters and buffers; None where their weights are written."""
        if not scores:
            self._noted = moment.version
            if self._folder is not None:
                self._folder.metrics(moment.row)
            return
        evaluation = Evaluation(moment.seconds, moment.version, scores)
        insort(self.evaluations, evaluation, key=lambda e: e.seconds)
        if not all(math.isfinite(score) for score in scores.values()):
            if self.stopped is Stopped.BUDGET:  # the last evaluation tells what it was spent on
                self.stopped = None
            self.stop(Stopped.DIVERGED)
            return
        goal = self.setup.until.goal
        better = goal is not None and goal.better(scores, self._best)
        if better:
            assert goal is not None
            self._best = scores[goal.metric]
        if self._folder is not None:
            if of is not None:
                self._folder.weights(self.trainee.state_dict(*of), best=better)
            self._folder.metrics({**moment.row, **scores})
        if goal is not None and goal.reached(scores):
            self.seconds_to_target = min(moment.seconds, self.seconds_to_target or math.inf)
            self.stop(Stopped.TARGET)

    def final_evaluation(self, evaluate: Callable[[], None]) -> None:
        """Evaluate where the run ended, unless that has been done or makes no sense."""
        version = self.server.version
        known = self._noted == version or any(e.version == version for e in self.evaluations)
        if self.stopped in (Stopped.TARGET, Stopped.BUDGET) and not known:
            evaluate()

    def result(self) -> Result:
        """Close the books. The last good weights stay where a run diverged.

        Raises: RunFailed, with the books closed, for a run that could not go on, or whose files
        the disk did not take.
        """
        assert self.stopped is not None
        server = self.server
        params, moved = self.evaluation_params().clone(), self.params()
        buffers = buffers_at(params, server, self.trainee, self.setup.buffers)
        state_dict = self.trainee.state_dict(params, buffers)
        # A run whose files are not all there has failed, and its later files say so.
        if self._folder is not None and self.stopped is not Stopped.DIVERGED:
            with self.shortages():
                self._folder.weights(state_dict)
        with self.shortages():
            self.trace.end(version=server.version, stopped=self.stopped, params=moved)
        result = Result(
            stopped=self.stopped,
            seconds=self.now,
            seconds_to_target=self.seconds_to_target,
            updates=server.version,
            epochs=server.leases.epochs_settled,
            scores=self.evaluations[-1].scores if self.evaluations else {},
            evaluations=tuple(self.evaluations),
            workers=tuple(self.tallies),
            total_momentum=server.total_momentum.total,
            params=params,
            state_dict=state_dict,
            digest=digest(moved),
            trace_sha256=self.trace.sha256,
            out=None if self._folder is None else self._folder.path,
            failures=tuple(self.failures),
            given_up=self.given_up,
            set_aside=tuple(server.leases.set_aside),
            rollbacks=self.rollbacks,
            faults=tuple(
                (fault, self.plan.struck[number]) for number, fault in enumerate(self.plan.faults)
            ),
        )
        if self._folder is not None:
            with self.shortages():
                self._folder.result(result.summary())
        if self.stopped is Stopped.FAILED:
            raise RunFailed(self._failure) from self._cause
        return result

    @contextmanager
    def shortages(self) -> Iterator[None]:
        """Let the run end as failed where the machine has no more to give.

        Of the disk, of shared memory, of descriptors: what is lacking is what the run failed of.
        """
        try:
            yield
        except (OSError, RuntimeError, MemoryError) as error:
            words = shortage(error)
            if words is None:
                raise
            # Whatever the run had ended of, its files do not hold all of it.
            self.stopped, self._failure, self._cause = Stopped.FAILED, words, error

    def interruptible(self) -> AbstractContextManager[None]:
        """SIGINT and SIGTERM stop the run in order; a second one raises KeyboardInterrupt."""
        return taking_signals(self._interrupt)

    def _interrupt(self) -> None:
        if self.stopped is Stopped.INTERRUPTED:
            raise KeyboardInterrupt
        # An interrupted run is interrupted, whatever it was about to say.
        self.stopped = Stopped.INTERRUPTED


def _pull_after(push: Push, batch_size: int | None) -> Pull:
    return Pull(
        worker=push.worker, incarnation=push.incarnation, time=push.time, batch_size=batch_size
    )


def held_forever(policy: Policy) -> str:
    """What is wrong where no worker computes and nothing is due."""
    return (
        f"The policy holds every worker, so nothing will ever arrive: {policy}; "
        "its may_pull must let one go."
    )
