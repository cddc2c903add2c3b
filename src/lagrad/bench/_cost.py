"""What local training costs beyond the gradient itself: LeNet, two workers."""

import itertools
import os
import statistics
import time
from dataclasses import dataclass, field, replace
from functools import partial

from lagrad.core import Ledger, Push, Rule
from lagrad.policies import Asynchronous
from lagrad.rules import Momentum, default_rule
from lagrad.runtimes import Local, Run, Setup, Stopped, Until
from lagrad.tasks import Task, lenet_mnist

from ._bare import BareGradients, processor_s
from ._harness import Row, digits, in_turns, spread

WORKERS = 2
BURST = 12  # gradients of each process
#: Of either in a round: the cost is a small difference of large numbers.
BURSTS = 8

#: What is trained with: the rule, and the decay of the averaged weights.
SETTINGS: dict[str, tuple[Rule, float | None]] = {
    "lagrad, heavy ball": (Momentum(lr=0.001, momentum=0.9), None),
    "lagrad, default rule, averaged weights": (default_rule(WORKERS, lr=0.001), 0.95),
}


def train(*, rounds: int = 5) -> list[Row]:
    """The local runtime with two asynchronous workers, beside two bare processes.

    These compute the same gradients and do nothing else. All live through the measurement and take
    turns, a second or two each, so that a machine of changing speed is as fast for the one as for
    the other: after every burst the server holds still, its workers end their job and sleep, and
    the bare pair computes a burst.
    cost_percent: by the clock, from push to push of a worker, without the job that a pause cut,
    over the bare gradient of the bursts before and after. processor_cost_percent: the processor
    time of server and workers over that of the bare pair. rounds: of eight bursts each.
    """
    task = lenet_mnist()
    found = in_turns(
        {name: partial(_bursts, task, *setting) for name, setting in SETTINGS.items()},
        rounds=rounds,
    )
    size = sum(p.numel() for p in task.model().parameters())
    rows: list[Row] = []
    for name, each in found.items():
        bursts = [burst for some in each for burst in some]
        rows.append(
            {
                "system": name,
                "params": size,
                "workers": WORKERS,
                **spread("updates_per_s", [WORKERS / b.cycle_s for b in bursts]),
                "fraction_of_limit": digits(
                    statistics.median(b.bare_s / b.cycle_s for b in bursts)
                ),
                "bare_gradient_ms": digits(1e3 * statistics.median(b.bare_s for b in bursts)),
                **spread("cost_percent", [100 * (b.cycle_s / b.bare_s - 1) for b in bursts]),
                **spread(
                    "processor_cost_percent",
                    [100 * (b.processor_s / b.bare_processor_s - 1) for b in bursts],
                ),
                "server_processor_ms_per_update": digits(
                    1e3 * statistics.median(b.server_s for b in bursts)
                ),
            }
        )
    return rows


@dataclass(frozen=True)
class _Burst:
    """Seconds per gradient: by the clock of each worker, processor time of all, the server's."""

    cycle_s: float
    bare_s: float
    processor_s: float
    bare_processor_s: float
    server_s: float


def _bursts(task: Task, rule: Rule, ema: float | None) -> list[_Burst]:
    """Those of one round."""
    bare = BareGradients(task, WORKERS)
    try:
        return _Turns(task, rule, ema, bare).take()
    finally:
        bare.end()


@dataclass(frozen=True)
class _Noting(Asynchronous):
    """Asynchronous, and notes who pushes when."""

    pushes: list[tuple[int, float]] = field(default_factory=list)

    def accepts(self, push: Push, ledger: Ledger) -> str:
        """Accept, after a note."""
        self.pushes.append((push.worker, ledger.now))
        return ""

    def cycles(self) -> list[float]:
        """Seconds from each push to its worker's next."""
        times: dict[int, list[float]] = {}
        for worker, at in self.pushes:
            times.setdefault(worker, []).append(at)
        return [b - a for each in times.values() for a, b in itertools.pairwise(each)]


class _Turns:
    """A run whose observer holds it still after every burst, for the bare pair's turn."""

    def __init__(self, task: Task, rule: Rule, ema: float | None, bare: BareGradients) -> None:
        self.bare = bare
        self.policy = _Noting()
        self.setup = Setup(
            task=replace(task, evaluate=None),
            rule=rule,
            policy=self.policy,
            workers=WORKERS,
            until=Until(seconds=1e9),
            ema=ema,
            evaluate_every=1e9,
        )
        self.bursts: list[_Burst] = []
        self.alone = bare.burst(BURST)
        #: Processor time of the server and of its workers when the last burst of theirs began.
        self.before: tuple[float, float] | None = None

    def take(self) -> list[_Burst]:
        """Run until there are enough."""
        result = Local().run(self.setup, observe=self._observe)
        if result.stopped is not Stopped.ENDED:
            raise KeyboardInterrupt
        return self.bursts

    def _observe(self, run: Run) -> None:
        pushes = len(self.policy.pushes)
        if pushes < WORKERS * BURST:
            return
        cycle = statistics.mean(self.policy.cycles())
        time.sleep(3 * cycle)  # the workers end the jobs they have
        server, workers = processor_s(os.getpid()), sum(map(processor_s, run.processes.values()))
        alone = self.bare.burst(BURST)
        if self.before is not None:  # the first burst lacks the gradients of a pause before it
            own = server - self.before[0]
            self.bursts.append(
                _Burst(
                    cycle_s=cycle,
                    bare_s=(self.alone[0] + alone[0]) / 2,
                    processor_s=(own + workers - self.before[1]) / pushes,
                    bare_processor_s=(self.alone[1] + alone[1]) / 2,
                    server_s=own / pushes,
                )
            )
        if len(self.bursts) == BURSTS:
            run.stop(Stopped.ENDED)
        self.alone = alone
        self.policy.pushes.clear()
        self.before = processor_s(os.getpid()), workers
