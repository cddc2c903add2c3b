"""Times per step against the paper's figures, independent formulas and plain simulation."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from lagrad import theory

EXPONENTIAL, SHIFTED, PARETO = stats.expon(), stats.expon(loc=1.0), stats.pareto(2.0)
NEARLY_EXPONENTIAL = stats.gamma(1.0)  # the same, but unknown to the closed forms


def draws(times, shape, seed=0):
    return times.rvs(size=shape, random_state=np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("function", "workers", "quorum", "printed"),
    [
        (theory.k_sync_time, 8, 8, 2.718),
        (theory.k_sync_time, 8, 4, 0.6345),
        (theory.k_async_bound, 8, 4, 0.6345),
        (theory.k_batch_sync_time, 8, 4, 0.5),
        (theory.k_batch_async_time, 8, 4, 0.5),
        (theory.k_batch_async_time, 8, 1, 0.125),
    ],
)
def test_the_printed_figures(function, workers, quorum, printed):
    found = function(EXPONENTIAL, workers=workers, quorum=quorum)
    assert found == pytest.approx(printed, rel=1e-4)


def test_synchronous_over_asynchronous_is_p_times_the_harmonic_number():
    synchronous = theory.k_sync_time(EXPONENTIAL, workers=8, quorum=8)
    asynchronous = theory.k_batch_async_time(EXPONENTIAL, workers=8, quorum=1)
    assert round(synchronous / asynchronous, 2) == 21.74


@pytest.mark.parametrize("times", [EXPONENTIAL, SHIFTED, PARETO, stats.expon(0.5, 3.0)])
@pytest.mark.parametrize("quorum", range(1, 7))
def test_the_closed_forms_are_the_integrals_of_their_quantiles(times, quorum):
    beta = stats.beta(quorum, 6 - quorum + 1)
    wanted, _ = integrate.quad(lambda u: times.ppf(u) * beta.pdf(u), 0, 1, limit=500)
    assert theory.k_sync_time(times, workers=6, quorum=quorum) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("quorum", range(1, 9))
def test_quadrature_agrees_with_the_closed_form(quorum):
    wanted = theory.k_sync_time(EXPONENTIAL, workers=8, quorum=quorum)
    found = theory.k_sync_time(NEARLY_EXPONENTIAL, workers=8, quorum=quorum)
    assert found == pytest.approx(wanted, rel=1e-6)


def test_a_uniform_time_has_the_order_statistics_of_the_textbook():
    for quorum in range(1, 6):
        found = theory.k_sync_time(stats.uniform(), workers=5, quorum=quorum)
        assert found == pytest.approx(quorum / 6, rel=1e-8)


def test_a_tail_too_heavy_has_no_mean():
    heavy = stats.pareto(0.5)
    assert theory.k_sync_time(heavy, workers=4, quorum=3) == math.inf
    assert theory.k_sync_time(heavy, workers=4, quorum=2) < math.inf


@pytest.mark.parametrize("quorum", [1, 3, 8, 13])
def test_numerical_k_batch_sync_agrees_with_the_closed_form(quorum):
    found = theory.k_batch_sync_time(NEARLY_EXPONENTIAL, workers=8, quorum=quorum)
    assert found == pytest.approx(quorum / 8, rel=1e-6)


@pytest.mark.parametrize("quorum", [1, 4, 8])
def test_k_batch_sync_of_shifted_times_agrees_with_sums_of_gamma_type(quorum):
    def fewer(time):
        counts = np.arange(1, quorum + 1)
        one = -np.diff([1.0, *special.gammainc(counts, np.maximum(0.0, time - counts))])
        total = one
        for _ in range(3):
            total = np.convolve(total, one)[:quorum]
        return total.sum()

    wanted, _ = integrate.quad(fewer, 0, 60, points=list(range(1, 9)), limit=400, epsrel=1e-9)
    found = theory.k_batch_sync_time(SHIFTED, workers=4, quorum=quorum)
    assert found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("times", [SHIFTED, PARETO, stats.lognorm(0.5)])
@pytest.mark.parametrize("quorum", [3, 6])
def test_k_batch_sync_agrees_with_sorted_arrivals(times, quorum):
    arrivals = np.cumsum(draws(times, (100_000, 4, quorum)), axis=2).reshape(100_000, -1)
    steps = np.partition(arrivals, quorum - 1, axis=1)[:, quorum - 1]
    found = theory.k_batch_sync_time(times, workers=4, quorum=quorum)
    assert found == pytest.approx(steps.mean(), abs=4 * steps.std() / math.sqrt(len(steps)))


@pytest.mark.parametrize(
    ("times", "longer"),
    [
        (EXPONENTIAL, True),
        (SHIFTED, True),
        (stats.gamma(3.0), True),
        (stats.weibull_min(0.7), False),
        (PARETO, False),
    ],
)
def test_new_longer_than_used(times, longer):
    assert theory.is_new_longer_than_used(times) is longer


def test_no_bound_is_claimed_for_pareto_times():
    with pytest.raises(ValueError, match="no bound is known"):
        theory.k_async_bound(PARETO, workers=8, quorum=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": stats.norm()}, "times >= 0"),
        ({"times": 3.0}, "frozen distribution"),
        ({"workers": 0}, "workers and quorum >= 1"),
        ({"quorum": 9}, "quorum of at most 8"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        theory.k_sync_time(**{"times": EXPONENTIAL, "workers": 8, "quorum": 4, **arguments})


def test_times_too_heavy_for_the_grid_are_refused():
    with pytest.raises(ValueError, match="lighter tail"):
        theory.k_batch_sync_time(stats.pareto(0.2), workers=1, quorum=1)


CONVEX = {"smoothness": 2.0, "strong_convexity": 0.5, "gradients": 4, "noise": 0.3}


class TestErrorBound:
    @pytest.mark.parametrize("lr", [0.01, 0.1, 0.25])
    @pytest.mark.parametrize("fresh", [0.0, 1.0])
    def test_holds_on_a_quadratic_whose_error_is_known(self, lr, fresh):
        # E x_i^2 <- (1 - lr c_i)^2 E x_i^2 + lr^2 (noise of that element) / (K m)
        curvature, second = np.array([0.5, 2.0]), np.array([1.0, 3.0])
        first = gap = float(curvature @ second / 2)
        for step in range(300):
            bound = theory.error_bound(step, lr=lr, gap=first, fresh=fresh, **CONVEX)
            assert gap <= bound * (1 + 1e-12)
            second = (1 - lr * curvature) ** 2 * second + lr**2 * 0.15 / 4
            gap = float(curvature @ second / 2)

    def test_satisfies_its_recursion(self):
        fixed = {"lr": 0.1, "gap": 5.0, "gamma": 0.4, "fresh": 0.125, **CONVEX}
        factor = 1 - 0.4 + 0.125 / 2
        for step in range(20):
            now, later = (theory.error_bound(s, **fixed) for s in (step, step + 1))
            wanted = (1 - 0.1 * 0.5 * factor) * now + 2.0 * 0.1**2 * 0.3 / (2 * 4)
            assert later == pytest.approx(wanted, rel=1e-12)

    @pytest.mark.parametrize(
        "bad", [{"lr": 0.3}, {"gamma": 1.0}, {"gap": -1.0}, {"step": -1}, {"smoothness": 0.1}]
    )
    def test_bad_arguments_are_refused(self, bad):
        with pytest.raises(ValueError, match="Expected"):
            theory.error_bound(**{"step": 1, "lr": 0.1, "gap": 1.0, **CONVEX, **bad})


@pytest.mark.parametrize("function", [theory.k_async_staleness, theory.k_async_fresh])
def test_more_waiting_workers_than_workers_are_refused(function):
    with pytest.raises(ValueError, match="quorum of at most 8"):
        function(workers=8, quorum=9)
