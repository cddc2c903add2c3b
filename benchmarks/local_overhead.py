"""What the local runtime costs beyond the gradient itself: LeNet, two workers.

    python benchmarks/local_overhead.py [--updates 200]

Bare: two processes, each computing LeNet gradients in a loop with nothing else, one torch thread
each. Local: the local runtime with two asynchronous workers and lagrad's momentum. Both in turn,
several times. Overhead per update is the difference of the seconds per gradient of the pair of
processes, times the two of them: what a worker loses in each of its cycles.
"""

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection

import torch

from lagrad import Until, rules, train
from lagrad.core import Lease
from lagrad.policies import Asynchronous
from lagrad.runtimes import Local
from lagrad.runtimes._malloc import roomy_malloc
from lagrad.tasks import Differentiator, lenet_mnist
from machine import record

WORKERS = 2
REPEATS = 5
BATCH = 256


def bare(connection: Connection, updates: int) -> None:
    torch.set_num_threads(1)
    differentiator = Differentiator(lenet_mnist(batch_size=BATCH))
    point, buffers = differentiator.initial_params(), differentiator.initial_buffers()
    out = torch.empty_like(point)

    def once(number: int) -> None:
        start = BATCH * (number % 200)
        lease = Lease(number, 0, start, start + BATCH)
        differentiator(point, lease, buffers=buffers, out=out)

    for number in range(3):
        once(number)
    connection.send("ready")
    connection.recv()
    began = time.perf_counter()
    for number in range(updates):
        once(number)
    connection.send((time.perf_counter() - began) / updates)


def bare_seconds_per_gradient(updates: int) -> float:
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(WORKERS)]
    processes = [context.Process(target=bare, args=(theirs, updates)) for _, theirs in pipes]
    with roomy_malloc():  # as the local runtime starts its workers
        for process in processes:
            process.start()
    for ours, _ in pipes:
        ours.recv()
    for ours, _ in pipes:
        ours.send("go")
    seconds = [float(ours.recv()) for ours, _ in pipes]
    for process in processes:
        process.join()
    return statistics.mean(seconds)


def local_seconds_per_gradient(updates: int) -> float:
    result = train(
        "lenet-mnist",
        rule=rules.Momentum(lr=0.001),
        policy=Asynchronous(),
        runtime=Local(),
        workers=WORKERS,
        until=Until(updates=WORKERS * updates),
        evaluate_every=1e9,
    )
    return result.seconds * WORKERS / result.updates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--updates", type=int, default=100, help="per worker and repetition")
    updates: int = parser.parse_args().updates
    bares, locals_ = [], []
    for _ in range(REPEATS):
        bares.append(bare_seconds_per_gradient(updates))
        locals_.append(local_seconds_per_gradient(updates))
    overheads = [1e3 * (ours - alone) for ours, alone in zip(locals_, bares, strict=True)]
    record(
        "local-overhead",
        {
            "workers": WORKERS,
            "batch_size": BATCH,
            "bare_gradient_ms": [round(1e3 * s, 2) for s in bares],
            "local_cycle_ms": [round(1e3 * s, 2) for s in locals_],
            "overhead_ms_median": round(statistics.median(overheads), 2),
            "overhead_ms": [round(o, 2) for o in overheads],
            "ratio_median": round(
                statistics.median(o / b for o, b in zip(locals_, bares, strict=True)), 4
            ),
        },
    )


if __name__ == "__main__":
    main()
