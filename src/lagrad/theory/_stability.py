"""Up to which learning rate a rule is stable."""

import math

import numpy as np
from scipy.optimize import brentq

from ._dynamics import growth, require_fit, require_momentum
from ._recursions import Floats
from ._staleness import Given, Staleness, find_staleness

#: Where the first crossing is looked for; limits of interest lie well inside.
_LEAST, _MOST, _PER_DECADE = 1e-7, 1e3, 60
#: Rounding of eigenvalues on the unit circle.
_SLACK = 1e-11


def stability_limit(
    rule: str, staleness: Given, momentum: float = 0.0, *, workers: int | None = None
) -> float:
    """The largest x = eta lambda with rho <= 1 there and for all smaller x > 0.

    Arguments and errors as of `spectral_radius`. inf if it is beyond 1000.

    >>> round(stability_limit("heavy-ball", 1, 0.9), 6)
    0.1
    """
    require_momentum(rule, momentum)
    known = find_staleness(staleness, workers)
    require_fit(rule, known)
    count = round(math.log10(_MOST / _LEAST) * _PER_DECADE) + 1
    grid = np.geomspace(_LEAST, _MOST, count)
    unstable = np.flatnonzero(_excess(rule, known, momentum, grid) > 0)
    if not unstable.size:
        return math.inf
    first = int(unstable[0])
    assert first > 0, "unstable at the smallest learning rate"
    return float(
        brentq(
            lambda x: float(_excess(rule, known, momentum, np.array([x]))[0]),
            grid[first - 1],
            grid[first],
            xtol=1e-14,
        )
    )


def _excess(rule: str, staleness: Staleness, momentum: float, x: Floats) -> Floats:
    return growth(rule, staleness, np.array([momentum]), x[None])[0] - (1 + _SLACK)


def sgd_limit(delay: int) -> float:
    """Without momentum, constant staleness D >= 0: x < 2 sin(pi / (4 D + 2)).

    Proof: docs/theory.md. Source: stated by Yang et al. 2021, arXiv:1910.05124, Lemma 1.

    >>> round(sgd_limit(2), 3)
    0.618
    """
    return 2 * math.sin(math.pi / (4 * delay + 2))


def heavy_ball_limit(delay: int, momentum: float) -> float:
    """Heavy ball, constant staleness D >= 1 and momentum m in (-1, 1), or D = 0.

        x_max = 2 sin(theta/2) sqrt(1 - 2 m cos theta + m^2),   theta the smallest root in (0, pi] of
        (pi + theta)/2 + atan2(sin theta, cos theta - m) + (D - 1) theta = pi

    where the first root of (z-1)(z-m) z^(D-1) + x reaches the unit circle; at D = 1 it is 1 - m,
    at D = 0 it is 2 (1 + m).

    >>> round(heavy_ball_limit(8, 0.9), 4)
    0.0139
    """
    if delay == 0:
        return 2 * (1 + momentum)

    def turned(theta: float) -> float:
        past = math.atan2(math.sin(theta), math.cos(theta) - momentum)
        return (math.pi + theta) / 2 + past + (delay - 1) * theta - math.pi

    theta = float(brentq(turned, 1e-12, math.pi, xtol=1e-15))
    return 2 * math.sin(theta / 2) * math.sqrt(1 - 2 * momentum * math.cos(theta) + momentum**2)
