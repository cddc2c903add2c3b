"""What the local runtime costs beyond the gradient itself: LeNet, two workers.

    python benchmarks/local_overhead.py [--rounds 40]

Local: the local runtime with two asynchronous workers. Bare: two processes of which each computes
the same gradients with nothing else. All four live through the whole measurement and take turns,
a second or two each, so that a machine of changing speed is as fast for the one as for the other:
after every burst the server holds still, its workers end their job and sleep, and the bare pair
computes a burst.

Overhead of a cycle: of each round, the time from push to push of a worker (without the job that
a pause cut) less the bare pair's time per gradient in the bursts before and after; the median over
the rounds, and the standard error of their mean. In a cycle every worker brings an update: the
overhead per update, by which updates come later, is a half of it with two workers. Also the
processor time of the server per update; it has no core of its own, where there are two.
"""

import argparse
import itertools
import math
import multiprocessing
import statistics
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import torch
from rich.progress import Progress

from lagrad import Until, train
from lagrad.core import LeaseBook, Ledger, Push, Rule
from lagrad.policies import Asynchronous
from lagrad.rules import Momentum, default_rule
from lagrad.runtimes import Local, Run, Stopped
from lagrad.runtimes._malloc import roomy_malloc
from lagrad.tasks import Differentiator, lenet_mnist
from machine import record

WORKERS = 2
BURST = 12  # gradients of each process
BATCH = 256


def bare(connection: Connection) -> None:
    """Answer each number with the seconds of as many gradients, one by one."""
    torch.set_num_threads(1)
    differentiator = Differentiator(lenet_mnist(batch_size=BATCH))
    point, buffers = differentiator.initial_params(), differentiator.initial_buffers()
    out = torch.empty_like(point)
    leases = LeaseBook(differentiator.num_samples, BATCH)
    connection.send("ready")
    while count := connection.recv():
        seconds = []
        for _ in range(count):
            lease = leases.issue()
            began = time.perf_counter()
            differentiator(point, lease, buffers=buffers, out=out)
            seconds.append(time.perf_counter() - began)
            leases.settle(lease)
        connection.send(seconds)


class BarePair:
    """Two bare processes, asleep but in their bursts."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        ends = [context.Pipe() for _ in range(WORKERS)]
        self.pipes = [ours for ours, _ in ends]
        self.processes = [context.Process(target=bare, args=(theirs,)) for _, theirs in ends]
        with roomy_malloc():  # as the local runtime starts its workers
            for process in self.processes:
                process.start()
        for pipe in self.pipes:
            pipe.recv()

    def burst(self) -> float:
        """Mean seconds per gradient; the first and the last of each process run less evenly."""
        for pipe in self.pipes:
            pipe.send(BURST)
        seconds: list[float] = [s for pipe in self.pipes for s in pipe.recv()[1:-1]]
        return statistics.mean(seconds)

    def end(self) -> None:
        """Let both processes end."""
        for pipe in self.pipes:
            pipe.send(0)
        for process in self.processes:
            process.join()


@dataclass(frozen=True)
class Noting(Asynchronous):
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


class Turns:
    """The observer of the run: holds it still after every burst, for the bare pair's turn."""

    def __init__(self, pair: BarePair, policy: Noting, rounds: int) -> None:
        self.pair = pair
        self.policy = policy
        self.rounds = rounds
        self.alone = [pair.burst()]
        self.ours: list[float] = []
        self.server: list[float] = []
        self.cpu_at_resume = time.process_time()

    def __call__(self, run: Run) -> None:
        """Take a look; give the bare pair its turn if the burst is over."""
        if len(self.policy.pushes) < WORKERS * BURST:
            return
        cpu = time.process_time() - self.cpu_at_resume
        self.ours.append(statistics.mean(self.policy.cycles()))
        self.server.append(cpu / len(self.policy.pushes))
        if len(self.ours) == self.rounds:
            run.stop(Stopped.INTERRUPTED)
        time.sleep(3 * self.ours[-1])  # the workers end the jobs they have
        self.alone.append(self.pair.burst())
        self.policy.pushes.clear()
        self.cpu_at_resume = time.process_time()


#: What is trained with: the rule and the decay of the averaged weights.
SETTINGS: dict[str, tuple[Rule, float | None]] = {
    "momentum": (Momentum(lr=0.001, momentum=0.9), None),
    "default rule, averaged weights": (default_rule(WORKERS, lr=0.001), 0.95),
}


def measure(rule: Rule, ema: float | None, rounds: int, title: str) -> dict[str, Any]:
    """The figures of one setting."""
    pair, policy = BarePair(), Noting()
    turns = Turns(pair, policy, rounds)
    # Drawn in the pauses alone: an update of the bar would count as the server's.
    with Progress(auto_refresh=False) as progress:
        bar = progress.add_task(title, total=rounds)

        def observe(run: Run) -> None:
            turns(run)
            progress.update(bar, completed=len(turns.ours), refresh=not policy.pushes)

        train(
            "lenet-mnist",
            rule=rule,
            policy=policy,
            runtime=Local(),
            workers=WORKERS,
            until=Until(updates=10**9),
            ema=ema,
            evaluate_every=1e9,
            observe=observe,
        )
    pair.end()
    between = [(a + b) / 2 for a, b in itertools.pairwise(turns.alone)]
    overheads = [1e3 * (ours - alone) for ours, alone in zip(turns.ours, between, strict=True)]
    ratios = [ours / alone for ours, alone in zip(turns.ours, between, strict=True)]
    return {
        "bare_gradient_ms_median": round(1e3 * statistics.median(turns.alone), 2),
        "local_cycle_ms_median": round(1e3 * statistics.median(turns.ours), 2),
        "overhead_of_a_cycle_ms_median": round(statistics.median(overheads), 2),
        "overhead_of_a_cycle_ms_mean": round(statistics.mean(overheads), 2),
        "overhead_of_a_cycle_ms_standard_error": round(
            statistics.stdev(overheads) / math.sqrt(len(overheads)), 2
        ),
        "overhead_per_update_ms_median": round(statistics.median(overheads) / WORKERS, 2),
        "ratio_median": round(statistics.median(ratios), 4),
        "server_processor_ms_per_update": round(1e3 * statistics.median(turns.server), 2),
        "overhead_of_a_cycle_ms": [round(overhead, 2) for overhead in overheads],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=40)
    rounds: int = parser.parse_args().rounds
    figures: dict[str, Any] = {"workers": WORKERS, "batch_size": BATCH, "rounds": rounds}
    for title, (rule, ema) in SETTINGS.items():
        figures[title] = measure(rule, ema, rounds, title)
    record("local-overhead", figures)


if __name__ == "__main__":
    main()
