"""Updates per second through the Ray runtime, beside the parameter server of Ray's documentation.

    python benchmarks/ray_throughput.py [--seconds 5] [--rounds 3]

Both train one vector whose gradient costs next to nothing, so that what is measured is pushing,
applying and pulling: asynchronous SGD, 431,080 and 11,000,000 parameters, 2 and 4 workers on one
host, in one Ray. The other one is `lagrad.bench.peers.ray_example`, the asynchronous part of
"Parameter Server" in Ray's documentation.
The two take turns; a figure is the median of the rounds. Processes started anew each round are
not counted: the clock of either starts when all its workers have answered once.
"""

import argparse
import logging
import statistics
from functools import partial
from typing import Any

import ray

from lagrad import Until, train
from lagrad.bench import free_task, in_turns
from lagrad.bench.peers import Load, ray_example
from lagrad.rules import SGD
from lagrad.runtimes import Ray
from machine import record

LR = 1e-4


def ours(numel: int, workers: int, seconds: float) -> float:
    """Updates per second of the Ray runtime."""
    until = Until(seconds=seconds)
    result = train(free_task(numel), rule=SGD(lr=LR), runtime=Ray(), workers=workers, until=until)
    return result.updates / result.seconds


def theirs(numel: int, workers: int, seconds: float) -> float:
    """Updates per second of the documentation's asynchronous parameter server."""
    vector = "lagrad.bench:free_task", {"numel": numel}
    load = Load(*vector, workers=workers, lr=LR, momentum=0.0, seconds=seconds)
    return ray_example(load).gradients_per_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[431_080, 11_000_000])
    options = parser.parse_args()
    ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=3_000_000_000,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    figures: dict[str, Any] = {"ray": ray.__version__, **vars(options)}
    for numel in options.sizes:
        for workers in (2, 4):
            rates = in_turns(
                {
                    "lagrad": partial(ours, numel, workers, options.seconds),
                    "documentation": partial(theirs, numel, workers, options.seconds),
                },
                rounds=options.rounds,
            )
            pairs = zip(rates["lagrad"], rates["documentation"], strict=True)
            figures[f"{numel} parameters, {workers} workers"] = {
                **{
                    f"{name}_updates_per_second": [round(r, 1) for r in rates[name]]
                    for name in rates
                },
                "ratio_median": round(statistics.median(a / b for a, b in pairs), 2),
            }
            print(numel, workers, rates, flush=True)
    ray.shutdown()
    record("-".join(["ray-throughput", *map(str, options.sizes)]), figures)


if __name__ == "__main__":
    main()
