"""What simulated training of LeNet costs beyond its gradients.

    python benchmarks/simulator_overhead.py [--updates 60] [--repetitions 5]

In turns: bare gradients in a loop, and the simulator with eight asynchronous workers and the
default rule, both on one thread, without evaluation. The figure is the median of the ratios.
"""

import argparse
import dataclasses
import statistics
import time

import torch

from lagrad import Until, train
from lagrad.core import LeaseBook
from lagrad.runtimes import Simulator
from lagrad.tasks import Differentiator, lenet_mnist
from machine import record

WORKERS = 8
#: An evaluation takes as long as fifteen gradients, and would be all the noise.
TASK = dataclasses.replace(lenet_mnist(), evaluate=None)


def bare(differentiator: Differentiator, updates: int) -> float:
    """Seconds per gradient."""
    point, buffers = differentiator.initial_params(), differentiator.initial_buffers()
    out = torch.empty_like(point)
    leases = LeaseBook(differentiator.num_samples, differentiator.task.batch_size)
    began = time.perf_counter()
    for _ in range(updates):
        differentiator(point, leases.issue(), buffers=buffers, out=out)
    return (time.perf_counter() - began) / updates


def simulated(updates: int) -> float:
    """Seconds per gradient of a run from its first update on.

    By then one gradient for each worker and the next one are computed; the last update needs none.
    """
    began = 0.0

    def observe(run: object) -> None:
        nonlocal began
        del run
        began = began or time.perf_counter()

    train(
        TASK,
        runtime=Simulator(),
        workers=WORKERS,
        until=Until(updates=updates),
        observe=observe,
    )
    return (time.perf_counter() - began) / (updates - 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    differentiator = Differentiator(TASK)
    bare(differentiator, 5)
    simulated(5)
    pairs = [
        (bare(differentiator, arguments.updates), simulated(arguments.updates))
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
