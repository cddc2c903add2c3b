"""Computed from eigenvalues: stability limits, optima, and maps of the time constant."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lagrad.theory import (
    RULES,
    heavy_ball_limit,
    optimal_momentum,
    optimal_rate,
    sgd_limit,
    spectral_radius,
    stability_limit,
)

from ._experiment import Cell, Study, Tables

#: The momentum that rules are compared at when it is not chosen.
USUAL = 0.9
#: Condition number of the maps and of the comparisons over staleness.
CONDITION = 100.0

_MOMENTA = (-0.9, -0.5, 0.0, 0.5, 0.9, 0.95, 0.99)
_MAP_MOMENTA = tuple(float(1 - gap) for gap in np.geomspace(1.95, 0.004, 50))
_RATES_PER_DECADE = 20


def _limit_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    del tables
    rules = ["heavy-ball"] if quick else [name for name in RULES if name != "sgd"]
    return [
        {"rule": rule, "staleness": delay}
        for rule in rules
        for delay in ((0, 1, 2, 4, 8, 16, 32) if rule == "heavy-ball" else (0, 1, 2, 4, 8))
    ]


def _limits(rule: str, staleness: int) -> list[dict[str, Any]]:
    rows = []
    for momentum in _MOMENTA:
        limit = stability_limit(rule, staleness, momentum)
        closed = heavy_ball_limit(staleness, momentum) if rule == "heavy-ball" else float("nan")
        rows.append(
            {
                "momentum": momentum,
                "limit": limit,
                "limit_per_displacement": limit / (1 - momentum),
                "closed_form": closed,
                "sgd_limit": sgd_limit(staleness),
            }
        )
    return rows


def _optimum_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    del tables
    conditions = (100.0, 1e4) if quick else (10.0, 100.0, 1e3, 1e4)
    grid = [(condition, delay) for condition in conditions for delay in (0, 1, 7)]
    if not quick:
        grid += [(condition, delay) for condition in conditions for delay in (3, 15)]
        grid += [(CONDITION, delay) for delay in (2, 4, 8)]
    return [
        {"rule": rule, "staleness": delay, "condition": condition}
        for condition, delay in sorted(grid)
        for rule in RULES
    ]


def _optimum(rule: str, staleness: int, condition: float) -> list[dict[str, Any]]:
    best = optimal_momentum(rule, staleness, condition)
    usual = optimal_rate(rule, staleness, condition, USUAL if RULES[rule].momentum else 0.0)
    return [
        {
            "lr": best.lr,
            "momentum": best.momentum,
            "time_constant": best.time_constant,
            "usual_momentum": usual.momentum,
            "usual_lr": usual.lr,
            "usual_time_constant": usual.time_constant,
        }
    ]


def _map_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    del tables
    rules = ("heavy-ball", "dana", "lwp+sc", "roll-forward")
    return [
        {"rule": rule, "staleness": delay}
        for delay in ((7,) if quick else (1, 7))
        for rule in rules
    ]


def _map(rule: str, staleness: int) -> list[dict[str, Any]]:
    """The worst eigenvalue at a rate is the largest in a window below it: one curve serves all."""
    window = round(_RATES_PER_DECADE * np.log10(CONDITION))
    lowest, highest = -3.0, 0.5
    count = round((highest - lowest) * _RATES_PER_DECADE) + 1
    rates = np.geomspace(10**lowest, 10**highest, count)
    x = np.geomspace(10**lowest / CONDITION, 10**highest, count + window)
    radii = spectral_radius(rule, staleness, x, np.array(_MAP_MOMENTA)[:, None])
    worst = sliding_window_view(radii, window + 1, axis=1).max(axis=-1)
    times = np.where(worst < 1, -1 / np.log(np.minimum(worst, 1 - 1e-15)), np.inf)
    return [
        {"momentum": momentum, "lr": float(rate), "time_constant": float(time)}
        for momentum, row in zip(_MAP_MOMENTA, times, strict=True)
        for rate, time in zip(rates, row, strict=True)
    ]


LIMITS = Study("limits", _limit_cells, _limits)
OPTIMA = Study("optima", _optimum_cells, _optimum)
MAPS = Study("maps", _map_cells, _map)
