"""Stability limits: closed forms, the published table, and the proofs' own criteria."""

import numpy as np
import pytest

from lagrad.theory import (
    heavy_ball_limit,
    heavy_ball_polynomial,
    sgd_limit,
    spectral_radius,
    stability_limit,
)

MOMENTA = (-0.5, 0.0, 0.5, 0.9, 0.95, 0.99)
#: Of heavy ball: rows are constant staleness, columns momenta, digits as published.
LIMITS = {
    0: ("1.0", "2.0", "3.0", "3.8", "3.9", "3.98"),
    1: ("1.5", "1.0", ".5", ".1", ".05", ".01"),
    2: ("1.0", ".618", ".281", ".0512", ".0253", ".0050"),
    4: ("0.553", ".347", ".156", ".0265", ".0129", ".0025"),
    8: ("0.287", ".185", ".0851", ".0139", ".0066", ".0013"),
}
#: x_max / (1 - m) at momentum 0, 0.9 and 0.95.
RATIOS = {
    0: ("2", "38", "78"),
    1: ("1", "1", "1"),
    2: (".618", ".512", ".506"),
    4: (".347", ".265", ".258"),
    8: (".185", ".139", ".133"),
}


def assert_printed(value, printed):
    """The value rounds to the digits as printed; a hair's breadth for ties."""
    digits = len(printed.partition(".")[2])
    assert abs(value - float(printed)) <= 0.5 * 10**-digits + 1e-9, f"{value} is not {printed}"


@pytest.mark.parametrize("delay", LIMITS)
class TestThePublishedTable:
    def test_of_limits(self, delay):
        for momentum, printed in zip(MOMENTA, LIMITS[delay], strict=True):
            assert_printed(stability_limit("heavy-ball", delay, momentum), printed)

    def test_of_limits_per_displacement(self, delay):
        for momentum, printed in zip((0.0, 0.9, 0.95), RATIOS[delay], strict=True):
            limit = stability_limit("heavy-ball", delay, momentum)
            assert_printed(limit / (1 - momentum), printed)


@pytest.mark.parametrize(
    ("delay", "printed"),
    [(1, "1"), (2, ".618"), (4, ".347"), (8, ".185"), (16, ".0952"), (32, ".0483")],
)
def test_without_momentum_it_is_the_sine(delay, printed):
    assert_printed(sgd_limit(delay), printed)
    assert stability_limit("sgd", delay) == pytest.approx(sgd_limit(delay), rel=1e-8)


@pytest.mark.parametrize("delay", [0, 1, 2, 3, 4, 7, 8, 16])
@pytest.mark.parametrize("momentum", [-0.98, -0.9, -0.8, *MOMENTA])
def test_heavy_ball_has_a_closed_form(delay, momentum):
    limit = heavy_ball_limit(delay, momentum)
    assert stability_limit("heavy-ball", delay, momentum) == pytest.approx(limit, rel=1e-6)


@pytest.mark.parametrize("momentum", np.linspace(-0.99, 0.99, 23))
def test_at_a_staleness_of_one_heavy_ball_is_stable_below_one_minus_m(momentum):
    # Jury: |m + x| < 1, p(1) = x > 0, p(-1) = 2 (1 + m) + x > 0. Exact for all m in (-1, 1).
    limit = 1 - momentum
    for x, stable in ((0.999 * limit, True), (1.001 * limit, False)):
        radius = np.abs(np.roots(heavy_ball_polynomial(x, momentum, 1))).max()
        assert (radius < 1) is np.bool_(stable)
    assert heavy_ball_limit(1, momentum) == pytest.approx(limit, rel=1e-12)


@pytest.mark.parametrize("delay", [0, 1, 2, 5, 11])
def test_no_root_returns_beyond_the_first_crossing_without_momentum(delay):
    # The proof counts: each crossing takes roots out of the unit circle, never back in.
    x = sgd_limit(delay) * np.linspace(1.0005, 40, 300)
    assert (spectral_radius("sgd", delay, x) > 1).all()


def test_a_random_order_is_milder_in_the_mean():
    for workers in (2, 4, 8, 16):
        limit = stability_limit("sgd", "exponential", workers=workers)
        assert limit == pytest.approx(2 * (2 * workers - 1), rel=1e-8)


def test_what_points_uphill_is_never_stable():
    assert stability_limit("roll-forward", 1, -0.5) == 0.0
    assert (spectral_radius("roll-forward", 1, np.array([1e-6, 1e-3]), -0.5) > 1).all()


def test_a_limit_is_the_first_crossing():
    for rule in ("dana", "smega2", "ormo", "lwp+sc", "roll-forward"):
        limit = stability_limit(rule, 3, 0.8)
        inside = spectral_radius(rule, 3, limit * np.array([0.001, 0.1, 0.5, 0.9, 0.999]), 0.8)
        assert (inside < 1).all()
        assert spectral_radius(rule, 3, np.array([1.001 * limit]), 0.8)[0] > 1
