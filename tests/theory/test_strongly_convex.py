"""The bounds of docs/theory.md against recursions, problems and adversaries of their own."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagrad.theory import DistanceBound, first_step

UNIT = DistanceBound(gradient_bound=1.0, strong_convexity=1.0)
ALPHAS = [0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 4.0, 10.0]


def one_step(a, k, eps):
    """The inequality that the proofs start from, M = lambda = 1."""
    return (1 - 2 / k) * a + 2 * eps * math.sqrt(a) / k + (1 + eps) ** 2 / k**2


def sharp_step(a, k, eps):
    return (math.sqrt((1 - 2 / k) * a + 1 / k**2) + eps / k) ** 2


class TestInduction:
    """If a_k is at most the bound at k, then a_{k+1} is at most the bound at k + 1."""

    @pytest.mark.parametrize("alpha", ALPHAS)
    @pytest.mark.parametrize("at_first", [0.0, 0.01, 1.0])
    def test_shrinking(self, alpha, at_first):
        k0 = first_step(alpha)
        for k in [*range(k0, k0 + 300), *(k0 * 10**p for p in range(2, 7))]:
            here = UNIT.shrinking(k, alpha=alpha, at_first=at_first)
            there = UNIT.shrinking(k + 1, alpha=alpha, at_first=at_first)
            for share in (0.0, 0.5, 1.0):
                assert one_step(share * here, k, alpha / k) <= there

    @pytest.mark.parametrize("alpha", ALPHAS)
    def test_slowly_shrinking(self, alpha):
        for k in [*range(2, 300), *(10**p for p in range(3, 7))]:
            here, there = (UNIT.slowly_shrinking(j, alpha=alpha, at_first=0.0) for j in (k, k + 1))
            for share in (0.0, 0.5, 1.0):
                assert one_step(share * here, k, alpha / math.sqrt(k)) <= there

    @pytest.mark.parametrize("eps", [0.0, 0.05, 0.3, 1.0])
    def test_constant(self, eps):
        for k in range(2, 3000):
            here = UNIT.constant(k, eps=eps)
            # Distances beyond M/lambda do not exist.
            assert min(1.0, one_step(here, k, eps)) <= UNIT.constant(k + 1, eps=eps) * (1 + 1e-12)

    def test_an_alpha_too_large_for_its_first_step_fails(self):
        # Why k0 grows with alpha: the same L', one step of the induction, at k = 2.
        alpha, k = 4.0, 2
        constant = 2 * ((1 + alpha / k) ** 2 + 1)
        assert one_step(constant / k, k, alpha / k) > constant / (k + 1)

    @given(
        k=st.integers(2, 10**6),
        a=st.floats(0, 1),
        eps=st.floats(0, 3),
    )
    def test_the_sharp_step_is_below_the_plain_one(self, k, a, eps):
        assert sharp_step(a, k, eps) <= one_step(a, k, eps) * (1 + 1e-12)


class TestWithoutError:
    def test_is_the_recursion_in_exact_fractions(self):
        a = Fraction(1)
        for k in range(2, 200):
            assert UNIT.without_error(k) == pytest.approx(float(a), rel=1e-13)
            a = (1 - Fraction(2, k)) * a + Fraction(1, k**2)

    def test_is_below_that_of_the_note_but_for_the_second_step(self):
        for k in range(1, 400):
            above = UNIT.without_error(k) > UNIT.of_the_note(k, at_one=0.0) * (1 + 1e-14)
            assert above == (k == 2)

    def test_is_sharp_with_errors_of_zero(self):
        wanted = [UNIT.without_error(k) for k in range(2, 52)]
        np.testing.assert_allclose(UNIT.sharp([0.0] * 49), wanted, rtol=1e-13)


class TestSharp:
    @pytest.mark.parametrize("alpha", ALPHAS)
    def test_is_below_the_theorems(self, alpha):
        steps = range(2, 500)
        sharp = UNIT.sharp([alpha / k for k in steps])
        at_first = sharp[first_step(alpha) - 2]
        for k, best in zip(steps, sharp, strict=False):
            if k >= first_step(alpha):
                assert best <= UNIT.shrinking(k, alpha=alpha, at_first=at_first) * (1 + 1e-12)
        for k, best in zip(steps, UNIT.sharp([alpha / math.sqrt(k) for k in steps]), strict=False):
            assert best <= UNIT.slowly_shrinking(k, alpha=alpha)
        for k, best in zip(steps, UNIT.sharp([alpha] * len(steps)), strict=False):
            assert best <= UNIT.constant(k, eps=alpha) * (1 + 1e-12)

    @pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
    def test_has_the_limits_of_the_proof(self, alpha):
        steps = np.arange(2, 100_000)
        scaled = UNIT.sharp(alpha / steps)[-1] * steps[-1]
        assert scaled == pytest.approx(1.0, abs=0.03)
        scaled = UNIT.sharp(alpha / np.sqrt(steps))[-1] * steps[-1]
        assert scaled == pytest.approx((alpha + math.hypot(1, alpha)) ** 2, rel=0.03)

    @pytest.mark.parametrize("eps", [0.1, 0.5])
    def test_has_the_floor(self, eps):
        assert UNIT.sharp([eps] * 100_000)[-1] == pytest.approx(eps**2, rel=1e-2)

    def test_violates_the_claim_of_the_note_at_every_step(self):
        steps = range(2, 5000)
        for k, best in zip(steps, UNIT.sharp([1 / k for k in steps]), strict=False):
            assert best > UNIT.of_the_note(k, at_one=0.0) * 1.001


def worst_case(errors, d=6, runs=4, seed=0):
    """The problem of docs/theory.md that attains the sharp bound: E‖w_k‖^2 of SGD, from k = 2."""
    random = np.random.default_rng(seed)
    w = np.zeros((runs, d))
    w[:, 0] = 1.0
    distances = [1.0]
    for k, eps in enumerate(errors, 2):
        noise = random.normal(size=(runs, d))
        square = (w**2).sum(1, keepdims=True)
        noise -= (noise * w).sum(1, keepdims=True) / square * w
        noise *= np.sqrt(1 - square) / np.linalg.norm(noise, axis=1, keepdims=True)
        gradient = w + noise
        np.testing.assert_allclose(np.linalg.norm(gradient, axis=1), 1.0)
        landing = w - gradient / k
        error = -eps * landing / np.linalg.norm(landing, axis=1, keepdims=True)
        w = w - (gradient + error) / k
        w /= np.maximum(1.0, np.linalg.norm(w, axis=1, keepdims=True))
        distances.append(float((w**2).sum(1).mean()))
    return distances


@pytest.mark.parametrize(
    "law",
    [lambda k: 0.0, lambda k: 1 / k, lambda k: 4 / k, lambda k: k**-0.5, lambda k: 0.2],
    ids=["0", "1/k", "4/k", "1/sqrt(k)", "0.2"],
)
def test_a_problem_attains_the_sharp_bound(law):
    errors = [law(k) for k in range(2, 400)]
    np.testing.assert_allclose(worst_case(errors), UNIT.sharp(errors), rtol=1e-9)


def test_the_note_fails_at_its_second_step_without_any_error():
    # f = w^2/2 from w_1 = w* = 0; +-1 is added to the gradient at 0 alone, so that M = 1.
    after = [0.0 - gradient for gradient in (1.0, -1.0)]
    assert np.mean(np.square(after)) == UNIT.without_error(2) == 2 * UNIT.of_the_note(2, at_one=0.0)


@pytest.mark.parametrize("adversary", ["away", "landing", "gradient", "random"])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_monte_carlo_stays_below(alpha, adversary):
    # lambda 2, curvatures 2 to 6, on the box [-1, 1]^3 around a minimiser at one of its edges.
    curvature = np.array([2.0, 3.0, 6.0])
    random = np.random.default_rng(1)
    w = np.full((4000, 3), -1.0)
    minimiser = np.array([1.0, 0.0, 0.0])
    pull = np.array([5.0, 0.0, 0.0])  # the free minimiser lies outside, at 2.5 of the first axis
    corner = np.max([(curvature - pull) ** 2, (-curvature - pull) ** 2], axis=0).sum()
    bound = DistanceBound(gradient_bound=math.sqrt(corner + 3.0), strong_convexity=2.0)
    k0, at_first = first_step(alpha), math.nan
    for k in range(1, 200):
        squared = ((w - minimiser) ** 2).sum(1)
        mean, error = squared.mean(), squared.std() / math.sqrt(len(w))
        if k == k0:
            at_first = mean + 4 * error
        assert mean <= bound.squared_radius
        if k >= k0:
            assert mean - 4 * error <= bound.shrinking(k, alpha=alpha, at_first=at_first)
        gradient = curvature * w - pull + random.normal(size=w.shape)
        rate = 1 / (2 * k)
        direction = {
            "away": minimiser - w,
            "landing": minimiser - (w - rate * gradient),
            "gradient": -gradient,
            "random": random.normal(size=w.shape),
        }[adversary]
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
        size = alpha / k * np.linalg.norm(gradient, axis=1, keepdims=True)
        w = np.clip(w - rate * (gradient + size * direction), -1, 1)


class TestUnits:
    """M and lambda come in as M^2/lambda^2 alone."""

    bound = DistanceBound(gradient_bound=3.0, strong_convexity=0.5)

    def test_all_scale_with_the_squared_radius(self):
        assert self.bound.squared_radius == 36.0
        for k, alpha in itertools.product((8, 50), (0.5, 2.0)):
            pairs = [
                (self.bound.without_error(k), UNIT.without_error(k)),
                (self.bound.constant(k, eps=alpha), UNIT.constant(k, eps=alpha)),
                (self.bound.of_the_note(k, at_one=7.2), UNIT.of_the_note(k, at_one=0.2)),
                *(
                    (
                        getattr(self.bound, name)(k, alpha=alpha, at_first=7.2),
                        getattr(UNIT, name)(k, alpha=alpha, at_first=0.2),
                    )
                    for name in ("shrinking", "slowly_shrinking")
                ),
            ]
            for scaled, unit in pairs:
                assert scaled == pytest.approx(36 * unit)
        scaled = self.bound.sharp([0.3] * 5, first=4, at_first=7.2)
        np.testing.assert_allclose(scaled, 36 * UNIT.sharp([0.3] * 5, first=4, at_first=0.2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DistanceBound(gradient_bound=0.0, strong_convexity=1.0), "gradient_bound > 0"),
        (lambda: DistanceBound(gradient_bound=1.0, strong_convexity=math.nan), "strong_convexity"),
        (lambda: first_step(-1.0), "alpha >= 0"),
        (lambda: UNIT.without_error(0), "at least 1"),
        (lambda: UNIT.shrinking(7, alpha=2.0), "at least 8"),
        (lambda: UNIT.shrinking(8, alpha=2.0, at_first=-1.0), "squared distance >= 0"),
        (lambda: UNIT.slowly_shrinking(1, alpha=1.0), "at least 2"),
        (lambda: UNIT.constant(5, eps=math.inf), "eps >= 0"),
        (lambda: UNIT.sharp([0.1], first=1), "at least 2"),
        (lambda: UNIT.sharp([0.1, -0.1]), "eps >= 0"),
        (lambda: UNIT.of_the_note(0, at_one=1.0), "at least 1"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
