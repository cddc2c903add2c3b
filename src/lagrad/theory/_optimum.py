"""The best learning rate and momentum of a rule: the worst eigenvalue shrinks fastest."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from ._dynamics import require_fit, require_momentum
from ._recursions import find_rule
from ._search import Problem
from ._staleness import Given, find_staleness

#: atanh of the momenta that are tried first, in groups of similar ones.
_COARSE = np.linspace(-3.8, 6.0, 25)
_GROUPS = 5


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

    >>> round(time_constant("sgd", 0, 100.0, lr=1.0), 1)
    99.5
    """
    require_momentum(rule, momentum)
    problem = _problem(rule, staleness, condition, workers)
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"Expected lr > 0, got {lr}; its unit is 1/L, so that 1 is a usual one.")
    return problem.time_constant(lr, momentum)


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
    problem = _problem(rule, staleness, condition, workers)
    rates, _ = problem.best_rates(np.array([momentum]))
    lr = float(rates[0])
    return Optimum(lr, momentum, problem.time_constant(lr, momentum))


def optimal_momentum(
    rule: str, staleness: Given, condition: float, workers: int | None = None
) -> Optimum:
    """The learning rate and momentum with the smallest time constant on quadratics.

        minimise over (eta, m)    max { rho(eta lambda, m) : 1/condition <= lambda <= 1 }

    rule, staleness, workers: as of `spectral_radius`. condition: largest over smallest eigenvalue,
    >= 1.
    Momenta from -0.999 to 0.99998 are searched; an optimum at an end of them says that the best
    lies beyond. Without a momentum (sgd) it is 0.
    Raises: ValueError for an unknown rule (with the near ones), numbers out of range, or a rule
    that treats each gradient by its own staleness or worker with "exponential".

    >>> best = optimal_momentum("heavy-ball", 0, 100.0)
    >>> round(best.lr, 2), round(best.momentum, 3), round(best.time_constant, 1)
    (3.31, 0.669, 5.0)
    """
    problem = _problem(rule, staleness, condition, workers)
    if not find_rule(rule).momentum:
        return optimal_rate(rule, staleness, condition, 0.0, workers=workers)
    tried = [problem.best_rates(np.tanh(some)) for some in np.array_split(_COARSE, _GROUPS)]
    worst = np.concatenate([radii for _, radii in tried])
    best = int(np.argmin(worst))
    last = len(_COARSE) - 1
    found = minimize_scalar(
        lambda place: float(problem.best_rates(np.tanh(np.array([place])))[1][0]),
        bounds=(_COARSE[max(0, best - 1)], _COARSE[min(last, best + 1)]),
        method="bounded",
        # An optimum may lie at a double root, where an error of m enters by its square root.
        options={"xatol": 3e-8},
    )
    place = float(found.x) if found.fun < worst[best] else float(_COARSE[best])
    momentum = math.tanh(place)
    lr = float(problem.best_rates(np.array([momentum]))[0][0])
    return Optimum(lr, momentum, problem.time_constant(lr, momentum))


def _problem(rule: str, staleness: Given, condition: float, workers: int | None) -> Problem:
    find_rule(rule)
    known = find_staleness(staleness, workers)
    require_fit(rule, known)
    if not (math.isfinite(condition) and condition >= 1):
        raise ValueError(f"Expected condition >= 1, got {condition}; use 1 for equal eigenvalues.")
    return Problem(rule, known, condition)
