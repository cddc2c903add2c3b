"""How well the simulator, given a local run's job times, foretells local time to target.

    python benchmarks/fidelity.py [--seed 0]

Softmax regression on MNIST, batches of 32, four worker processes, healthy jobs of 60 ms. For each
policy and model of stragglers: a local run; the simulator with `recorded:RUN`, that run's job
times; and a second local run of the same setup, which tells how far two local runs are apart. The
error is (simulated - local) / local of the time to the target.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from lagrad import Until, train
from lagrad.core import Policy
from lagrad.delays import Delays, Factors, ShiftedExponential
from lagrad.policies import Asynchronous, BackupWorkers, KAsync, KFresh, Synchronous
from lagrad.rules import SGD
from lagrad.runtimes import Local, Simulator
from lagrad.tasks import softmax_mnist
from machine import record

WORKERS = 4
POLICIES: dict[str, Policy] = {
    "synchronous": Synchronous(),
    "backup-workers:1": BackupWorkers(1),
    "k-fresh:3": KFresh(3),
    "k-async:2": KAsync(2),
    "asynchronous": Asynchronous(),
}
STRAGGLERS: dict[str, Delays] = {
    "one 4 times slower": Factors(((0, 4.0),)),
    "shifted exponential": ShiftedExponential(),
}


def seconds_to_target(runtime: Local | Simulator, **options: Any) -> float:
    result = train(
        softmax_mnist(batch_size=32),
        rule=SGD(lr=0.1),
        runtime=runtime,
        workers=WORKERS,
        until=Until(target="accuracy>=0.87", seconds=90.0),
        evaluate_every=0.1,
        **options,
    )
    if result.seconds_to_target is None:
        raise RuntimeError(f"{options} stopped before the target: {result.stopped}")
    return result.seconds_to_target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    seed: int = parser.parse_args().seed
    local = Local(seconds_per_job=0.06)
    rows: list[dict[str, str | float]] = []
    for name, policy in POLICIES.items():
        for stragglers, delays in STRAGGLERS.items():
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                shared: dict[str, Any] = {"policy": policy, "seed": seed}
                first = seconds_to_target(local, delays=delays, out=run, **shared)
                simulated = seconds_to_target(Simulator(), delays=f"recorded:{run}", **shared)
            second = seconds_to_target(local, delays=delays, **shared)
            rows.append(
                {
                    "policy": name,
                    "stragglers": stragglers,
                    "local_s": round(first, 3),
                    "simulated_s": round(simulated, 3),
                    "local_again_s": round(second, 3),
                    "error": round(simulated / first - 1, 4),
                    "error_of_local_again": round(second / first - 1, 4),
                }
            )
            print(rows[-1], flush=True)
    errors = [abs(float(row["error"])) for row in rows]
    record(
        "fidelity",
        {
            "rows": rows,
            "median_absolute_error": round(statistics.median(errors), 4),
            "largest_absolute_error": max(errors),
        },
    )


if __name__ == "__main__":
    main()
