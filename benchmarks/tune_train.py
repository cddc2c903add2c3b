"""Tune the entrants of `lagrad bench train --race`, each on the same grid.

    python benchmarks/tune_train.py [--processes 2]

In the simulator (virtual time: a job takes as many units as its worker is slow, see
`entrants.SLOW`, times a random factor of mean 1), every entrant gets every pair of learning rate
and momentum, with one other seed than the races' and as many gradients. The pair wins whose last
three test accuracies, 60 units apart, have the best mean; who diverges has 0. What is the same in
lagrad's words (the servers over rpc, Ray and MPI: asynchronous heavy ball) is tuned once. All
trials go to results/.
"""

import argparse
import multiprocessing
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from lagrad import Until, train
from lagrad.bench import entrants
from lagrad.delays import Factors, Gamma
from lagrad.runtimes import Simulator, Stopped
from machine import record

SEED = 101
BUDGET_GRADIENTS = 600
EVALUATE_EVERY_UNITS = 60.0


def trial(job: tuple[str, float, float]) -> dict[str, Any]:
    """Run one entrant at one point of the grid."""
    name, lr, momentum = job
    entrant = next(entrant for entrant in entrants.ENTRANTS if entrant.name == name)
    result = train(
        "lenet-mnist",
        rule=entrant.rule(lr, momentum),
        policy=entrant.policy,
        runtime=Simulator(),
        workers=entrants.WORKERS,
        delays=Factors(entrants.SLOW, base=Gamma()),
        until=Until(epochs=BUDGET_GRADIENTS * entrants.BATCH_SIZE / 60_000),
        evaluate_every=EVALUATE_EVERY_UNITS,
        seed=SEED,
    )
    accuracies = [evaluation.scores["accuracy"] for evaluation in result.evaluations]
    found = {
        "entrant": name,
        "lr": lr,
        "momentum": momentum,
        "stopped": result.stopped.value,
        "units": result.seconds,
        "updates": result.updates,
        "accuracy": statistics.mean(accuracies[-3:]) if result.stopped is Stopped.BUDGET else 0.0,
        "accuracies": accuracies,
        "mean_staleness": round(result.mean_staleness, 3),
    }
    print(found, file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    different: dict[tuple[str, str], str] = {}
    for entrant in entrants.ENTRANTS:
        different.setdefault((repr(entrant.policy), repr(entrant.rule(0.1, 0.5))), entrant.name)
    grid = [
        (name, lr, momentum)
        for momentum in entrants.MOMENTA
        for lr in entrants.LEARNING_RATES
        for name in different.values()
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.processes, mp_context=context) as pool:
        trials = list(pool.map(trial, grid))
    best = {
        name: max((t for t in trials if t["entrant"] == name), key=lambda t: t["accuracy"])
        for name in different.values()
    }
    record("tune-train", {"best": best, "trials": trials})


if __name__ == "__main__":
    main()
