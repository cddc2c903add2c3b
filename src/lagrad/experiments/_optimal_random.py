"""Random staleness: where the mean, and where almost every run, of asynchronous SGD is stable."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagrad.theory import optimal_momentum, sgd_limit, stability_limit

from ._experiment import Cell, Study, Tables
from ._statistics import interval

#: Independent runs, in groups that each give one estimate.
_RUNS, _GROUPS = 400, 10
#: Steps between normalisations: no product of them overflows.
_NORMALISE_EVERY = 20
_CONDITIONS = (100.0, 1e3)


def _cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    del tables
    steps = 3_000 if quick else 40_000
    return [{"workers": workers, "steps": steps} for workers in (2, 4, 8, 16)]


def _random(workers: int, steps: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng(workers)
    constant = sgd_limit(workers - 1)
    rough = _crossing(np.geomspace(constant, 6 * constant, 24), workers, steps // 8, generator)
    near = float(np.median(rough)) * np.linspace(0.93, 1.07, 7)
    estimates = _crossing(near, workers, steps, generator)
    almost_sure, half_width = interval(estimates.tolist())
    best = [
        optimal_momentum("heavy-ball", "exponential", condition, workers=workers)
        for condition in _CONDITIONS
    ]
    return [
        {
            "implicit_momentum": 1 - 1 / workers,
            "mean_limit": stability_limit("sgd", "exponential", workers=workers),
            "almost_sure_limit": almost_sure,
            "almost_sure_half_width": half_width,
            "constant_limit": constant,
            "best_momentum_100": best[0].momentum,
            "best_momentum_1000": best[1].momentum,
            "best_lr_100": best[0].lr,
        }
    ]


def _crossing(
    x: NDArray[np.float64], workers: int, steps: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Where the Lyapunov exponent becomes positive, by interpolation: one value for each group."""
    exponents = _exponents(x, workers, steps, generator)
    groups = exponents.reshape(len(x), _GROUPS, -1).mean(axis=2).T
    last = [int(np.flatnonzero(group < 0)[-1]) for group in groups]
    found = []
    for group, at in zip(groups, np.minimum(last, len(x) - 2), strict=True):
        slope = (group[at + 1] - group[at]) / (x[at + 1] - x[at])
        found.append(x[at] - group[at] / slope)
    return np.array(found)


def _exponents(
    x: NDArray[np.float64], workers: int, steps: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """[X, runs]: lim ln ‖points in flight‖ / updates, of w <- w - x (point of a random worker).

    With exponential times the next worker is any of them, whatever happened before. All x see the
    same order, so that their differences are sharp.
    """
    every = np.arange(_RUNS)
    sent = generator.standard_normal((1, _RUNS, workers)).repeat(len(x), axis=0)
    w = sent.mean(axis=2)
    logs = np.zeros((len(x), _RUNS))
    burn_in = steps // 10
    for step in range(1, burn_in + steps + 1):
        who = generator.integers(workers, size=_RUNS)
        w = w - x[:, None] * sent[:, every, who]
        sent[:, every, who] = w
        if step % _NORMALISE_EVERY == 0:
            size = np.abs(sent).max(axis=2)
            sent /= size[..., None]
            w /= size
            if step > burn_in:
                logs += np.log(size)
    return logs / steps


RANDOM = Study("random", _cells, _random)
