"""How long a step takes when the server waits for K of P workers, and what that buys."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lagrad.plots import plot_runtime_staleness, plot_runtime_steps, plot_runtime_tradeoff

from ._experiment import Cell, Experiment, Study, Tables
from ._runtime_replay import IMAGES, objective, optimum, replay
from ._runtime_schemes import (
    PUBLISHED,
    TIMES,
    UNCANCELLED,
    WORKERS,
    expected_fresh,
    expected_staleness,
    known_time,
    simulate,
)
from ._runtime_verdicts import verdicts
from ._statistics import interval

#: So that one comparison in ten thousand is off by chance.
CONFIDENCE = 0.9999


def _step_cells(quick: bool, tables: Tables) -> list[Cell]:
    del tables
    arrivals, seeds = (100_000, 100) if quick else (1_500_000, 400)
    return [
        {
            "times": times,
            "scheme": scheme,
            "quorum": quorum,
            "steps": arrivals // (seeds * quorum),
            "seeds": seeds,
        }
        for times in TIMES
        for scheme in (*PUBLISHED, *UNCANCELLED)
        for quorum in range(1, WORKERS + 1)
    ]


def _steps(*, times: str, scheme: str, quorum: int, steps: int, seeds: int) -> list[dict[str, Any]]:
    timing = simulate(scheme, times, quorum=quorum, steps=steps, seeds=range(seeds))
    begun = steps // 10
    time, half = interval(timing.time_per_step(skip=begun).tolist(), confidence=CONFIDENCE)
    known = known_time(scheme, TIMES[times][1], quorum)
    later = replace(timing, times=timing.times[:, begun:], taus=timing.taus[:, begun:])
    counts = later.staleness_counts
    return [
        {
            "time": time,
            "half_width": half,
            "theory": known.time,
            "how": known.how,
            "staleness": float(later.mean_staleness.mean()),
            "staleness_theory": expected_staleness(scheme, quorum),
            "fresh": float(counts[0] / counts.sum()),
            "fresh_theory": expected_fresh(scheme, times, quorum),
            "arrivals": int(timing.arrivals.sum()),
        }
    ]


def _staleness_cells(quick: bool, tables: Tables) -> list[Cell]:
    del tables
    arrivals = 100_000 if quick else 1_000_000
    return [
        {"times": times, "scheme": scheme, "quorum": quorum, "steps": arrivals // (50 * quorum)}
        for times in TIMES
        for scheme, quorum in (("K-async", 4), ("K-batch-async", 4), ("K-batch-async", 1))
    ]


def _staleness(*, times: str, scheme: str, quorum: int, steps: int) -> list[dict[str, Any]]:
    timing = simulate(scheme, times, quorum=quorum, steps=steps, seeds=range(50))
    begun = steps // 10
    counts = replace(timing, taus=timing.taus[:, begun:]).staleness_counts
    geometric = times == "exp(1)" and (scheme == "K-async" or quorum == 1)
    fresh = expected_fresh(scheme, times, quorum) if geometric else math.nan
    return [
        {"tau": tau, "share": float(count / counts.sum()), "theory": fresh * (1 - fresh) ** tau}
        for tau, count in enumerate(counts.tolist())
    ]


def _optimum_cells(quick: bool, tables: Tables) -> list[Cell]:
    del quick, tables
    return [{"images": IMAGES}]


def _optimum(*, images: int) -> list[dict[str, Any]]:
    del images
    return [{"optimum": optimum()}]


#: Of the trade-off: as in the paper but for the number of images.
LR, QUORUM = 0.01, 4
_SEEDS_TOGETHER = 4
#: Fully asynchronous and synchronous are schemes with a quorum of their own.
_RACED = {
    "async": ("K-batch-async", 1),
    "K-batch-async": ("K-batch-async", QUORUM),
    "K-async": ("K-async", QUORUM),
    "K-batch-sync": ("K-batch-sync", QUORUM),
    "K-sync": ("K-sync", QUORUM),
    "sync": ("K-sync", WORKERS),
}


def _tradeoff_cells(quick: bool, tables: Tables) -> list[Cell]:
    del tables
    horizon, seeds = (3000.0, 4) if quick else (6000.0, 16)
    return [
        {"scheme": scheme, "first_seed": seed, "horizon": horizon}
        for scheme in _RACED  # the longest first, so that no process is left with it at the end
        for seed in range(0, seeds, _SEEDS_TOGETHER)
    ]


def _tradeoff(*, scheme: str, first_seed: int, horizon: float) -> list[dict[str, Any]]:
    name, quorum = _RACED[scheme]
    expected = known_time(name, TIMES["exp(1)"][1], quorum).time
    steps = math.ceil(1.15 * horizon / expected)
    seeds = range(first_seed, first_seed + _SEEDS_TOGETHER)
    timing = simulate(name, "exp(1)", quorum=quorum, steps=steps, seeds=seeds)
    chosen = [np.random.default_rng(seed).integers(0, IMAGES, (steps, quorum)) for seed in seeds]
    moments = np.geomspace(10.0, horizon, 28)
    found = replay(
        timing, torch.from_numpy(np.stack(chosen)), lr=LR, until=torch.from_numpy(moments)
    )
    return [
        {"seed": seed, "time": float(time), "objective": value}
        for time, weights in zip(moments, found, strict=True)
        for seed, value in zip(seeds, objective(weights).tolist(), strict=True)
    ]


EXPERIMENT = Experiment(
    name="runtime",
    title="Time per step and error when the server waits for K of P workers (Dutta et al. 2018)",
    studies=(
        Study("optimum", _optimum_cells, _optimum),
        Study("tradeoff", _tradeoff_cells, _tradeoff),
        Study("steps", _step_cells, _steps),
        Study("staleness", _staleness_cells, _staleness),
    ),
    figures={
        "runtime-steps": plot_runtime_steps,
        "runtime-staleness": plot_runtime_staleness,
        "runtime-tradeoff": plot_runtime_tradeoff,
    },
    verdicts=verdicts,
)
