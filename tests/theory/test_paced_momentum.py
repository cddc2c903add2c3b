"""Why one learning rate fits any number of workers: the dynamics of a round have a limit."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagrad.rules import PacedMomentum
from lagrad.theory import roll_forward_polynomial

MOMENTA = st.floats(0.1, 0.95)
RATES = st.floats(0.1, 2.0)


def polynomial(workers, x, momentum):
    decay, scale = PacedMomentum(lr=1.0, momentum=momentum).constants(workers)
    return roll_forward_polynomial(x * scale, decay, workers - 1)


def limit(s, x, momentum):
    gamma = -math.log(momentum)
    a = x * gamma / (1 - momentum)
    share = (1 - momentum) / gamma
    moved = 1 + share * s + (1 - share) / gamma * s * (s + gamma)
    return s * (s + gamma) * cmath.exp(s) + a * momentum * moved


@given(momentum=MOMENTA, x=RATES, s=st.complex_numbers(max_magnitude=2.0))
def test_the_polynomials_of_many_workers_have_a_limit(momentum, x, s):
    def error(workers):
        z = cmath.exp(s / workers)
        return abs(
            workers**2 * np.polyval(polynomial(workers, x, momentum), z) - limit(s, x, momentum)
        )

    assert error(400) <= 0.52 * error(200) + 1e-4
    assert error(400) < 0.2


@pytest.mark.parametrize("momentum", [0.6, 0.8, 0.9])
@pytest.mark.parametrize("x", [0.01, 0.5, 1.0])
def test_a_round_contracts_alike_with_any_number_of_workers(x, momentum):
    rounds = [
        np.abs(np.roots(polynomial(n, x, momentum))).max() ** n for n in (2, 4, 8, 16, 32, 64)
    ]
    assert max(rounds) - min(rounds) < 0.02


@pytest.mark.parametrize("x", [0.1, 1.0])
def test_one_worker_is_heavy_ball(x):
    # z times (z - 1)(z - m) + x z.
    assert np.allclose(polynomial(1, x, 0.8), [1.0, x - 1.8, 0.8, 0.0])
