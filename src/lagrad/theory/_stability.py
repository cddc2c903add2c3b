"""Up to which learning rate a rule is stable."""

import math

import numpy as np
from scipy.optimize import brentq

from ._dynamics import growth, require_fit, require_momentum
from ._recursions import Floats, find_rule
from ._staleness import Given, find_staleness

#: Where the first crossing is looked for; limits of interest lie well inside.
_LEAST, _MOST, _PER_DECADE = 1e-7, 1e3, 30
#: Rounding of eigenvalues on the unit circle.
_SLACK = 1e-11


def stability_limit(
    rule: str, staleness: Given, momentum: float = 0.0, *, workers: int | None = None
) -> float:
    """The largest x = eta lambda with rho <= 1 there and for all smaller x > 0.

    Arguments and errors as of `spectral_radius`. inf if it is beyond 1000; 0 if there is none above
    1e-7, as of roll-forward with m < 0 and an odd D, where m^D g points uphill.

    >>> round(stability_limit("heavy-ball", 1, 0.9), 6)
    0.1
    """
    require_momentum(rule, momentum)
    known = find_staleness(staleness, workers)
    require_fit(rule, known)
    count = round(math.log10(_MOST / _LEAST) * _PER_DECADE) + 1
    grid = np.geomspace(_LEAST, _MOST, count)
    recursion = find_rule(rule).build(np.array([momentum]), known.delay, known.workers)

    def excess(x: Floats) -> Floats:
        radii: Floats = growth(recursion, known, x[None])[0]
        return radii - (1 + _SLACK)

    unstable = np.flatnonzero(excess(grid) > 0)
    if not unstable.size:
        return math.inf
    first = int(unstable[0])
    if first == 0:
        return 0.0
    return float(
        brentq(
            lambda x: float(excess(np.array([x]))[0]),
            grid[first - 1],
            grid[first],
            xtol=1e-14,
        )
    )


def sgd_limit(delay: int) -> float:
    """Without momentum, constant staleness D >= 0: x < 2 sin(pi / (4 D + 2)).

    Proof: docs/theory.md. Source: stated by Yang et al. 2021, arXiv:1910.05124, Lemma 1.

    >>> round(sgd_limit(2), 3)
    0.618
    """
    return 2 * math.sin(math.pi / (4 * delay + 2))


def heavy_ball_limit(delay: int, momentum: float) -> float:
    """Heavy ball, constant staleness D >= 0, momentum m in (-1, 1): closed up to a root theta.

        x_max = min_k 2 sin(theta_k/2) sqrt(1 - 2 m cos theta_k + m^2),   0 <= k <= D/2,
        (pi + theta_k)/2 + atan2(sin theta_k, cos theta_k - m) + (D - 1) theta_k = (2 k + 1) pi

    where roots of (z-1)(z-m) z^(D-1) + x reach the unit circle; 2 (1 + m) at D = 0. For m >= 0 the
    first, k = 0, is the smallest; towards m = -1 and even D the last, theta = pi: 2 (1 + m). At
    D = 1 it is 1 - m (proof: docs/theory.md).

    >>> round(heavy_ball_limit(8, 0.9), 4), round(heavy_ball_limit(8, -0.9), 4)
    (0.0139, 0.2)
    """
    if delay == 0:
        return 2 * (1 + momentum)

    def turned(theta: float, target: float) -> float:
        past = math.atan2(math.sin(theta), math.cos(theta) - momentum)
        return (math.pi + theta) / 2 + past + (delay - 1) * theta - target

    limits = []
    for k in range(delay // 2 + 1):
        target = (2 * k + 1) * math.pi
        # At theta = pi, the end of the last branch of an even D, rounding decides the sign.
        ends_there = 2 * k == delay
        theta = math.pi if ends_there else float(brentq(turned, 1e-12, math.pi, (target,), 1e-15))
        past = math.sqrt(1 - 2 * momentum * math.cos(theta) + momentum**2)
        limits.append(2 * math.sin(theta / 2) * past)
    return min(limits)
