"""What simulated training of LeNet costs beyond its gradients.

    python benchmarks/simulator_overhead.py [--updates 60] [--repetitions 5]

In turns: the simulator with eight asynchronous workers and the default rule, without evaluation,
and the very same gradients in a bare loop, both on one thread. The figure is the median of the
ratios. The same gradients, because their cost depends on the point: where many are denormal
numbers, convolutions take a tenth longer.
"""

import argparse
import dataclasses
import statistics
import time
from typing import Any

import torch
from torch import Tensor

from lagrad import Until
from lagrad._train import prepare
from lagrad.core import Lease
from lagrad.runtimes import Simulator
from lagrad.tasks import Differentiator, lenet_mnist
from machine import record

WORKERS = 8
#: An evaluation takes as long as fifteen gradients, and would be all the noise.
TASK = dataclasses.replace(lenet_mnist(), evaluate=None)


class Recorder(Differentiator):
    """Keeps where and on what gradients were computed."""

    seen: list[tuple[Tensor, Lease]]

    def __call__(self, point: Tensor, lease: Lease, **rest: Any) -> tuple[float, Tensor, bool]:
        """One more gradient."""
        self.seen.append((point.clone(), lease))
        return super().__call__(point, lease, **rest)


def simulate(differentiator: Differentiator, updates: int) -> float:
    """Seconds per gradient of a run from its first update on.

    By then one gradient for each worker and the next one are computed; the last update needs none.
    """
    began = 0.0

    def observe(run: object) -> None:
        nonlocal began
        del run
        began = began or time.perf_counter()

    prepared = prepare(TASK, runtime=Simulator(), workers=WORKERS, until=Until(updates=updates))
    dataclasses.replace(prepared, differentiator=differentiator).run(observe)
    return (time.perf_counter() - began) / (updates - 2)


def bare(differentiator: Differentiator, wanted: list[tuple[Tensor, Lease]]) -> float:
    """Seconds per gradient of those in a loop."""
    buffers, out = differentiator.initial_buffers(), differentiator.initial_params()
    began = time.perf_counter()
    for point, lease in wanted:
        differentiator(point, lease, buffers=buffers, out=out)
    return (time.perf_counter() - began) / len(wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recorder = Recorder(TASK)
    recorder.seen = []
    simulate(recorder, arguments.updates)
    wanted = recorder.seen[WORKERS + 1 :]
    differentiator = Differentiator(TASK)
    pairs = [
        (bare(differentiator, wanted), simulate(differentiator, arguments.updates))
        for _ in range(arguments.repetitions)
    ]
    record(
        "simulator-overhead",
        {
            "updates": arguments.updates,
            "bare_gradient_ms": [round(1e3 * alone, 2) for alone, _ in pairs],
            "simulated_gradient_ms": [round(1e3 * whole, 2) for _, whole in pairs],
            "ratio": [round(whole / alone, 4) for alone, whole in pairs],
            "ratio_median": round(statistics.median(whole / alone for alone, whole in pairs), 4),
        },
    )


if __name__ == "__main__":
    main()
