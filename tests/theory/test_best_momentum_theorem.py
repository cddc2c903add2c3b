"""The theorem that heavy ball with late gradients is best at a momentum of at most 0.

Notation of docs/theory.md: p(z) = (z-1)(z-m) z^(D-1) + x on the circle |z| = r, z = r e^(i theta);
alpha: angle at 1 of the triangle 0, 1, z; L = |z - 1|.
"""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import brentq

from lagrad.theory import heavy_ball_polynomial, optimal_momentum, optimal_rate


def angle_at_one(r, theta):
    return math.atan2(r * math.sin(theta), 1 - r * math.cos(theta))


def distance_to_one(r, theta):
    return math.sqrt(1 - 2 * r * math.cos(theta) + r * r)


def last_angle(r, delay):
    """Theta* where alpha = D theta."""
    return brentq(lambda theta: angle_at_one(r, theta) - delay * theta, 1e-9, math.pi, xtol=1e-15)


def best_factor(condition, delay):
    """The r with L(theta*) = condition (1 - r): of m = 0, says the theorem."""

    def excess(r):
        if r / (1 - r) <= delay * (1 + 1e-9):  # theta* is 0
            return -1.0
        return distance_to_one(r, last_angle(r, delay)) - condition * (1 - r)

    return brentq(excess, 1e-3, 1 - 1e-12, xtol=1e-15)


@pytest.mark.parametrize("delay", [1, 2, 3, 8])
@pytest.mark.parametrize("condition", [1.5, 10.0, 1000.0])
def test_without_momentum_the_best_factor_is_the_theorems(delay, condition):
    best = -1 / math.log(best_factor(condition, delay))
    found = optimal_rate("sgd", delay, condition, 0.0).time_constant
    assert found == pytest.approx(best, rel=1e-4)
    if delay == 1:
        assert best == pytest.approx(1 / math.log1p(1 / condition), rel=1e-9)


@pytest.mark.parametrize("delay", [1, 2, 3, 8])
@pytest.mark.parametrize("condition", [1.5, 100.0])
def test_every_positive_momentum_is_worse_and_the_more_so_the_larger(delay, condition):
    momenta = (0.0, 0.02, 0.2, 0.6, 0.95)
    times = [optimal_rate("heavy-ball", delay, condition, m).time_constant for m in momenta]
    assert all(one < next_ for one, next_ in itertools.pairwise(times))


@pytest.mark.parametrize("delay", [1, 2, 5])
@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.7, 0.9])
def test_the_lemma_that_counts_roots(delay, momentum):
    # All roots lie in |z| < r exactly if x(0) < x < x(pi) and psi(theta_x) < pi.
    for r in (0.92, 0.97, 0.99):
        thetas = np.linspace(0, math.pi, 4001)[1:-1]
        z = r * np.exp(1j * thetas)
        x = abs(z - 1) * abs(z - momentum) * r ** (delay - 1)
        turned = np.angle(z - 1) + np.angle(z - momentum) + (delay - 1) * thetas
        # The angles of z - 1 and z - m lie in (0, pi) here, so nothing is wrapped.
        for at in range(0, len(thetas), 25):
            if abs(turned[at] - math.pi) < 1e-3:
                continue
            roots = np.roots(heavy_ball_polynomial(x[at], momentum, delay))
            assert (abs(roots).max() < r) == (turned[at] < math.pi)


# At r = 0.6 theta* exists for D = 1 alone: alpha starts with the slope r/(1 - r).
@pytest.mark.parametrize(
    ("delay", "r"), [(1, 0.6), *itertools.product((1, 2, 4, 9), (0.92, 0.999))]
)
def test_the_reach_grows_with_the_angle(delay, r):
    # V = L cos(theta/2) / cos(alpha - (D - 1/2) theta), and its logarithmic derivative.
    theta = np.linspace(0, last_angle(r, delay), 400)[1:]
    alpha = np.array([angle_at_one(r, one) for one in theta])
    length = np.array([distance_to_one(r, one) for one in theta])
    g = alpha - (delay - 0.5) * theta
    reach = length * np.cos(theta / 2) / np.cos(g)
    assert (np.diff(reach) > 0).all()
    slope = r / length * np.sin(alpha + theta + g) / np.cos(g)
    slope -= np.tan(theta / 2) / 2 + (delay - 0.5) * np.tan(g)
    np.testing.assert_allclose(np.gradient(np.log(reach), theta)[5:-5], slope[5:-5], rtol=0.02)
    if delay == 1:
        closed = 2 * np.sin(alpha) ** 2 * np.cos(alpha + theta / 2) / np.sin(theta) / np.cos(g)
        np.testing.assert_allclose(slope, closed, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("condition", [2.0, 30.0])
@pytest.mark.parametrize("delay", [1, 2, 3, 4])
def test_the_best_momentum_is_negative(delay, condition):
    best = optimal_momentum("heavy-ball", delay, condition)
    assert best.momentum < 0
    # Roots of the closed form at many eigenvalues: nothing between the ends is worse.
    polynomials = (
        heavy_ball_polynomial(best.lr * eigenvalue, best.momentum, delay)
        for eigenvalue in np.geomspace(1 / condition, 1.0, 997)
    )
    worst = max(abs(np.roots(polynomial)).max() for polynomial in polynomials)
    assert -1 / math.log(worst) == pytest.approx(best.time_constant, rel=1e-4)
