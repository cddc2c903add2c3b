"""Why roll-forward fills the gradients in flight in as it does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from lagrad.theory import optimal_momentum, roll_forward_polynomial, stability_limit

DELAYS = st.integers(1, 30)
MOMENTA = st.floats(0.01, 0.99)


def forcing(momentum, delay, **fill):
    """What x multiplies in the characteristic polynomial."""
    at = (roll_forward_polynomial(x, momentum, delay, **fill) for x in (1.0, 0.0))
    return np.polysub(*at)


@given(delay=DELAYS, momentum=MOMENTA)
def test_for_slow_modes_the_delay_cancels_to_first_order(delay, momentum):
    damping = momentum**delay
    found = forcing(momentum, delay)
    assert np.polyval(found, 1.0) == pytest.approx(damping, rel=1e-9)
    slope = np.polyval(np.polyder(found), 1.0)
    assert slope == pytest.approx(damping * (delay + 2), rel=1e-9)


@given(delay=DELAYS, momentum=MOMENTA)
def test_without_the_fill_all_but_the_momentum_is_left_of_the_delay(delay, momentum):
    damping, ahead = momentum**delay, (momentum ** np.arange(1, delay + 1)).sum()
    slope = np.polyval(np.polyder(forcing(momentum, delay, fill=0.0)), 1.0)
    assert slope == pytest.approx(damping * (ahead + 2), rel=1e-9)


@given(delay=DELAYS, momentum=MOMENTA)
def test_a_gradient_in_flight_counts_for_at_least_half_of_the_way(delay, momentum):
    powers = momentum ** np.arange(1, delay + 1)
    share = (1 - powers).sum() / (delay * (1 - momentum**delay))
    assert (delay + 1) / (2 * delay) <= share * (1 + 1e-9)
    assert share <= 1 + 1e-9


@pytest.mark.parametrize("momentum", [0.5, 0.9])
@pytest.mark.parametrize("delay", [1, 3, 7])
def test_the_stability_limit_is_where_a_root_meets_the_circle(delay, momentum):
    limit = stability_limit("roll-forward", delay, momentum)
    below, above = (
        np.abs(np.roots(roll_forward_polynomial(limit * share, momentum, delay))).max()
        for share in (0.999, 1.001)
    )
    assert below < 1 < above


def time_at_the_optimum(delay, fill):
    eigenvalues = np.geomspace(0.01, 1.0, 15)

    def radius(where):
        lr, momentum = np.exp(where[0]), 1 / (1 + np.exp(-where[1]))
        polynomials = (
            roll_forward_polynomial(lr * x, momentum, delay, fill=fill) for x in eigenvalues
        )
        return max(np.abs(np.roots(p)).max() for p in polynomials)

    begin = optimal_momentum("roll-forward", delay, 100.0)
    start = [np.log(0.8 * begin.lr), np.log(begin.momentum / (1 - begin.momentum))]
    found = minimize(radius, start, method="Nelder-Mead", options={"maxiter": 120})
    return -1 / np.log(found.fun)


def test_a_smaller_or_larger_fill_is_slower_at_its_own_optimum():
    less, exact, more = (time_at_the_optimum(3, fill) for fill in (0.75, 1.0, 1.25))
    assert exact < 0.97 * min(less, more)
