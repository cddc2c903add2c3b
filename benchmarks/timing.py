"""Gradient arrivals per second of the timing path: one core, 8 workers.

    python benchmarks/timing.py [--arrivals 4000000]

Counted are the gradients that arrive until the last step of each seed, dropped ones included;
the time includes making the streams and drawing the durations.
"""

import argparse
import statistics
import time
from functools import partial

import torch

from lagrad.bench import in_turns
from lagrad.delays import ShiftedExponential
from lagrad.policies import (
    Asynchronous,
    BackupWorkers,
    BoundedStaleness,
    Deadline,
    KAsync,
    KBatchAsync,
    KBatchSync,
    KFresh,
    KSync,
    Point,
    Ringmaster,
    Synchronous,
)
from lagrad.runtimes import time_steps
from machine import record

WORKERS = 8
SEEDS = 500
REPEATS = 3


def arrivals_per_s(policy: Point, quorum: int, cancel: bool, *, arrivals: int) -> float:
    """quorum: gradients in a step. cancel: whether jobs are cancelled. arrivals: about so many."""
    began = time.perf_counter()
    timing = time_steps(
        policy,
        ShiftedExponential(shift=0.0),
        workers=WORKERS,
        steps=arrivals // (SEEDS * quorum),
        seeds=range(SEEDS),
        cancel=cancel,
    )
    return int(timing.arrivals.sum()) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--arrivals", type=int, default=4_000_000)
    arrivals: int = parser.parse_args().arrivals
    torch.set_num_threads(1)
    # Policy, gradients in a step, whether jobs are cancelled.
    entrants = {
        "asynchronous": (Asynchronous(), 1, False),
        "k_async_4": (KAsync(4), 4, False),
        "k_batch_async_4": (KBatchAsync(4), 4, False),
        "k_sync_4": (KSync(4), 4, False),
        "k_sync_4_cancelled": (KSync(4), 4, True),
        "k_batch_sync_4": (KBatchSync(4), 4, False),
        "k_batch_sync_4_cancelled": (KBatchSync(4), 4, True),
        "backup_workers_1": (BackupWorkers(1), 7, False),
        "bounded_staleness_3": (BoundedStaleness(3), 1, False),
        "deadline": (Deadline(), WORKERS, False),
        "ringmaster_8": (Ringmaster(WORKERS), 1, False),
        "k_fresh_4": (KFresh(4), 4, False),
        "synchronous": (Synchronous(), WORKERS, False),
    }
    rates = in_turns(
        {
            name: partial(arrivals_per_s, policy.point, quorum, cancel, arrivals=arrivals)
            for name, (policy, quorum, cancel) in entrants.items()
        },
        rounds=REPEATS,
    )
    record(
        "timing",
        {
            "workers": WORKERS,
            "seeds": SEEDS,
            "arrivals_per_s": {n: round(statistics.median(r)) for n, r in rates.items()},
            "lowest_arrivals_per_s": {n: round(min(r)) for n, r in rates.items()},
        },
    )


if __name__ == "__main__":
    main()
