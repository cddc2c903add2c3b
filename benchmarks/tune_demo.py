"""Tune the entrants of the demonstration, each on the same grid.

    python benchmarks/tune_demo.py [--processes 2] [ENTRANT ...]

In the simulator (virtual time: a job of a fast worker is one unit, the slow worker's six), with
other seeds than the demonstration's, every entrant gets every pair of learning rate and momentum
of the grid, each with the same seeds and budget of gradients. The pair whose slowest seed is first
at the target wins, of those with which every seed also gets there at the next larger learning rate:
at the edge of divergence three lucky seeds say little about the fourth. All trials go to results/.
"""

import argparse
import itertools
import math
import multiprocessing
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from rich.progress import track

from lagrad import Until, train
from lagrad.delays import Factors, Gamma
from lagrad.experiments import demo
from lagrad.runtimes import Simulator
from machine import record

EVALUATE_EVERY_GRADIENTS = 24


def trial(job: tuple[str, float, float, int]) -> dict[str, Any]:
    """Run one entrant at one point of the grid."""
    name, lr, momentum, seed = job
    entrant = next(entrant for entrant in demo.ENTRANTS if entrant.name == name)
    result = train(
        "lenet-mnist",
        rule=entrant.rule(lr, momentum),
        policy=entrant.policy,
        runtime=Simulator(),
        workers=demo.WORKERS,
        delays=Factors(demo.SLOW.factors, base=Gamma()),
        until=Until(
            target=f"accuracy>={demo.TARGET}", updates=demo.BUDGET_GRADIENTS // entrant.gradients
        ),
        # All entrants are looked at equally often in gradients.
        evaluate_every=EVALUATE_EVERY_GRADIENTS * units_per_gradient(entrant),
        ema=entrant.ema,
        seed=seed,
    )
    return {
        "policy": name,
        "lr": lr,
        "momentum": momentum,
        "seed": seed,
        "stopped": result.stopped.value,
        "units_to_target": result.seconds_to_target,
        "updates": result.updates,
        "final_accuracy": result.scores.get("accuracy"),
        "mean_staleness": round(result.mean_staleness, 3),
    }


def units_per_gradient(entrant: demo.Entrant) -> float:
    """Virtual time per applied gradient with one of four workers six times slower."""
    slowest = {"synchronous": 6.0 / 4, "backup-workers": 1.0 / 3}
    return slowest.get(entrant.name, 1.0 / (3 + 1 / 6))


def best_pairs(trials: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each entrant the pair with the smallest of the largest times, with a margin."""
    units = defaultdict(list)
    for trial in trials:
        reached = trial["units_to_target"]
        pair = trial["policy"], trial["lr"], trial["momentum"]
        units[pair].append(math.inf if reached is None else reached)
    best: dict[str, dict[str, Any]] = {}
    larger = dict(itertools.pairwise(sorted(demo.LEARNING_RATES)))
    for raced in dict.fromkeys(name for name, _, _ in units):
        safe = [
            (name, lr, momentum)
            for name, lr, momentum in units
            if name == raced and lr in larger and max(units[name, larger[lr], momentum]) < math.inf
        ]
        name, lr, momentum = min(safe, key=lambda pair: max(units[pair]))
        best[name] = {"lr": lr, "momentum": momentum, "units_to_target": units[name, lr, momentum]}
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=2)
    everyone = [entrant.name for entrant in demo.ENTRANTS]
    parser.add_argument("entrant", nargs="*", metavar="ENTRANT", help=", ".join(everyone))
    arguments = parser.parse_args()
    grid = [
        (name, lr, momentum, seed)
        for lr in demo.LEARNING_RATES
        for momentum in demo.MOMENTA
        for seed in demo.TUNING_SEEDS
        for name in arguments.entrant or everyone
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.processes, mp_context=context) as pool:
        trials = list(track(pool.map(trial, grid), total=len(grid), description="tuning"))
    record("tune-demo", {"best": best_pairs(trials), "trials": trials})


if __name__ == "__main__":
    main()
