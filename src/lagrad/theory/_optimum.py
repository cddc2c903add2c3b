"""The best learning rate and momentum of a rule: the worst eigenvalue shrinks fastest."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._dynamics import growth, require_fit, require_momentum
from ._recursions import Floats, find_rule
from ._staleness import Given, Staleness, find_staleness

#: atanh of the momenta that are tried first, and how many.
_COARSE = np.linspace(-3.8, 6.0, 29)
#: Momenta of a round that zooms in, and rounds; each shrinks the interval fourfold.
_FINE, _ROUNDS = 9, 8
#: Learning rates per factor of 10 when searching, and eigenvalues per factor of 10 when judging.
_RATES, _EIGENVALUES = 20, 200
_LARGEST_RATE = 10.0
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Optimum:
    """lr in units of 1/L, L the largest eigenvalue; time_constant in updates per e-fold.

    time_constant: of the error ‖x - x*‖, that of f is half of it; inf if it does not shrink.
    """

    lr: float
    momentum: float
    time_constant: float


def time_constant(
    rule: str,
    staleness: Given,
    condition: float,
    *,
    lr: float,
    momentum: float = 0.0,
    workers: int | None = None,
) -> float:
    """Updates per e-fold of the error, -1 / ln max rho, over eigenvalues in [1/condition, 1].

    condition: >= 1. lr: > 0, in units of 1/L. Others and errors as of `spectral_radius`; inf if
    some eigenvalue does not shrink. Judged on 200 eigenvalues per factor of 10.

    >>> round(time_constant("sgd", 0, 100.0, lr=1.98), 2)
    49.5
    """
    require_momentum(rule, momentum)
    known = _known(rule, staleness, condition, workers)
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"Expected lr > 0, in units of 1/L, got {lr}.")
    return _judge(rule, known, condition, lr, momentum)


def optimal_rate(
    rule: str, staleness: Given, condition: float, momentum: float, *, workers: int | None = None
) -> Optimum:
    """The learning rate with the smallest time constant at a given momentum.

    Arguments and errors as of `optimal_momentum`; momentum in (-1, 1).

    >>> best = optimal_rate("heavy-ball", 0, 100.0, 0.9)
    >>> round(best.time_constant)
    19
    """
    require_momentum(rule, momentum)
    known = _known(rule, staleness, condition, workers)
    rates, _ = _best_rates(rule, known, condition, np.array([momentum]), None)
    lr = float(rates[0])
    return Optimum(lr, momentum, _judge(rule, known, condition, lr, momentum))


def optimal_momentum(
    rule: str, staleness: Given, condition: float, workers: int | None = None
) -> Optimum:
    """The learning rate and momentum with the smallest time constant on quadratics.

        minimise over (eta, m)    max { rho(eta lambda, m) : 1/condition <= lambda <= 1 }

    rule: "sgd", "heavy-ball", "nesterov", "lwp", "spike-compensation", "lwp+sc", "multi-asgd",
    "dana", "smega2", "ormo", "roll-forward" or "dm0". staleness: D >= 0, constant, in updates;
    "round-robin": `workers` in turn; "exponential": `workers` with exponential times, the mean
    over their order. condition: largest over smallest eigenvalue, >= 1.
    Momenta from -0.999 to 0.99998 are searched; an optimum at an end of them says that the best
    lies beyond. Without a momentum (sgd) it is 0.
    Raises: ValueError for an unknown rule (with the near ones), numbers out of range, or a rule
    that treats each gradient by its own staleness or worker with "exponential".

    >>> best = optimal_momentum("heavy-ball", 0, 100.0)
    >>> round(best.lr, 2), round(best.momentum, 3), round(best.time_constant, 1)
    (3.31, 0.669, 5.0)
    """
    known = _known(rule, staleness, condition, workers)
    if not find_rule(rule).momentum:
        return optimal_rate(rule, staleness, condition, 0.0, workers=workers)
    places, around = _COARSE, None
    for _ in range(_ROUNDS + 1):
        rates, worst = _best_rates(rule, known, condition, np.tanh(places), around)
        best = int(np.argmin(worst))
        around = float(rates[best])
        low, high = places[max(0, best - 1)], places[min(len(places), best + 2) - 1]
        found = Optimum(around, float(np.tanh(places[best])), math.nan)
        places = np.linspace(low, high, _FINE)
    return Optimum(
        found.lr, found.momentum, _judge(rule, known, condition, found.lr, found.momentum)
    )


def _known(rule: str, staleness: Given, condition: float, workers: int | None) -> Staleness:
    known = find_staleness(staleness, workers)
    require_fit(rule, known)
    if not (math.isfinite(condition) and condition >= 1):
        raise ValueError(f"Expected condition >= 1, got {condition}.")
    return known


def _judge(rule: str, staleness: Staleness, condition: float, lr: float, momentum: float) -> float:
    count = math.ceil(_EIGENVALUES * math.log10(condition)) + 1
    x = np.geomspace(lr / condition, lr, count)
    worst = float(growth(rule, staleness, np.array([momentum]), x[None]).max())
    return math.inf if worst >= 1 else -1 / math.log(worst) if worst > 0 else 0.0


def _best_rates(
    rule: str, staleness: Staleness, condition: float, momenta: Floats, around: float | None
) -> tuple[Floats, Floats]:
    """(learning rates, worst spectral radii) [B]; rates near `around`, if given.

    The worst over eigenvalues at a rate is the largest rho(x) in a window of ln(condition) on the
    axis ln x: one curve per momentum serves all rates. Then a search between the grid's points.
    """
    window = math.ceil(_RATES * math.log10(condition))
    step = math.log(condition) / window if window else math.log(10) / _RATES
    if around is None:
        top = math.log(_LARGEST_RATE)
        # Every rule is stable, and slower, below this.
        least = 0.01 * (1 - np.abs(momenta).max()) / (staleness.delay + 1)
        rates = math.ceil((top - math.log(least)) / step) + 1
    else:
        rates = 2 * math.ceil(math.log(2.0) / step) + 1
        top = math.log(around) + (rates - 1) / 2 * step
    grid = top - step * np.arange(rates + window)[::-1]
    x = np.broadcast_to(np.exp(grid), (len(momenta), len(grid)))
    curve = growth(rule, staleness, momenta, x)
    worst = sliding_window_view(curve, window + 1, axis=1).max(axis=-1)
    best = worst.argmin(axis=1)
    return _between(rule, staleness, condition, momenta, grid, curve, best)


def _between(
    rule: str,
    staleness: Staleness,
    condition: float,
    momenta: Floats,
    grid: Floats,
    curve: Floats,
    best: np.ndarray,
) -> tuple[Floats, Floats]:
    """Golden section on ln rate, one grid cell to either side of window number `best` [B]."""
    window = math.ceil(_RATES * math.log10(condition))
    step = grid[1] - grid[0]
    rows = np.arange(len(momenta))
    lower, upper = best, best + window
    inner = np.array(
        [curve[b, lo + 1 : hi].max(initial=0.0) for b, lo, hi in zip(rows, lower, upper)]
    )
    centre = grid[upper]

    def worst(rate: Floats) -> Floats:
        ends = np.exp(np.stack([rate, rate - math.log(condition)], axis=1))
        ours = np.maximum(growth(rule, staleness, momenta, ends).max(axis=1), inner)
        passed = np.where(rate > centre, curve[rows, upper], curve[rows, lower])
        return np.maximum(ours, passed)

    low, high = centre - step, centre + step
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = worst(left), worst(right)
    for _ in range(26):
        keep = at_left < at_right
        low, high = np.where(keep, low, left), np.where(keep, right, high)
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        at_left, at_right = worst(left), worst(right)
    rate = (low + high) / 2
    return np.exp(rate), worst(rate)
