"""The matrices against closed forms, and against the rules written out worker by worker."""

import numpy as np
import pytest

from lagrad.theory import (
    RULES,
    dana_polynomial,
    exponential_polynomial,
    family_polynomial,
    heavy_ball_polynomial,
    multi_asgd_polynomial,
    roll_forward_polynomial,
    spectral_radius,
)
from lagrad.theory._dynamics import period_matrix
from lagrad.theory._staleness import find_staleness

X, MOMENTA = (0.003, 0.05, 0.4, 1.3), (-0.6, 0.0, 0.5, 0.9)


def matrix(rule, staleness, x, momentum, workers=None):
    known = find_staleness(staleness, workers)
    recursion = RULES[rule].build(np.array([momentum]), known.delay, known.workers)
    return period_matrix(recursion, known, np.array([[x]]))[0, 0], len(recursion.update)


def assert_same_polynomial(found, wanted):
    """Equal up to roots at zero: states that a closed form does without."""
    found, wanted = np.trim_zeros(np.where(abs(found) < 1e-12, 0, found)), np.trim_zeros(wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("x", X)
class TestTheCharacteristicPolynomial:
    @pytest.mark.parametrize("delay", [0, 1, 2, 5])
    def test_of_the_family(self, x, momentum, delay):
        m, late = momentum, (1 - momentum**delay) / (1 - momentum)
        cases = {
            "heavy-ball": (1.0, 0.0, 0),
            "nesterov": (m, 1.0, 0),
            "lwp": (1.0, 0.0, delay),
            "spike-compensation": (m**delay, late, 0),
            "lwp+sc": (m**delay, late, delay),
        }
        for rule, (a, b, horizon) in cases.items():
            found = np.poly(matrix(rule, delay, x, m)[0])
            wanted = family_polynomial(x, m, delay, a=a, b=b, horizon=horizon)
            assert_same_polynomial(found, wanted)

    @pytest.mark.parametrize("delay", [1, 2, 5])
    def test_of_heavy_ball(self, x, momentum, delay):
        wanted = heavy_ball_polynomial(x, momentum, delay)
        assert_same_polynomial(np.poly(matrix("heavy-ball", delay, x, momentum)[0]), wanted)

    @pytest.mark.parametrize("workers", [1, 2, 4])
    def test_of_dana_and_multi_asgd(self, x, momentum, workers):
        for rule, closed in (("dana", dana_polynomial), ("multi-asgd", multi_asgd_polynomial)):
            found = np.poly(matrix(rule, "round-robin", x, momentum, workers)[0])
            assert_same_polynomial(found, closed(x, momentum, workers))

    @pytest.mark.parametrize("delay", [0, 1, 2, 5])
    def test_of_roll_forward(self, x, momentum, delay):
        wanted = roll_forward_polynomial(x, momentum, delay)
        assert_same_polynomial(np.poly(matrix("roll-forward", delay, x, momentum)[0]), wanted)

    @pytest.mark.parametrize("workers", [1, 2, 8])
    def test_of_the_mean_with_exponential_workers(self, x, momentum, workers):
        found = np.poly(matrix("heavy-ball", "exponential", x, momentum, workers)[0])
        assert_same_polynomial(found, exponential_polynomial(x, momentum, workers))


class Server:
    """The rules as published, on f(w) = x w^2 / 2 with learning rate 1, one gradient at a time."""

    def __init__(self, rule, momentum, workers):
        self.rule, self.m, self.workers = rule, momentum, workers
        self.w = self.before = 1.0
        self.own = np.zeros(workers)
        self.v = self.gathered = self.last = 0.0
        self.t = 0

    def push(self, worker, gradient, tau):
        m, count = self.m, self.workers
        self.before, self.last = self.w, gradient
        match self.rule:
            case "sgd":
                self.w -= gradient
            case "heavy-ball" | "lwp":
                self.v = m * self.v + gradient
                self.w -= self.v
            case "nesterov":
                self.v = m * self.v + gradient
                self.w -= gradient + m * self.v
            case "spike-compensation" | "lwp+sc":
                self.v = m * self.v + gradient
                self.w -= m**tau * self.v + sum(m**j for j in range(tau)) * gradient
            case "multi-asgd" | "dana":
                self.own[worker] = m * self.own[worker] + gradient
                self.w -= self.own[worker]
            case "smega2":
                self.gathered += gradient
                step = gradient + m * self.v
                if (self.t + 1) % count == 0:
                    self.v = m * self.v + self.gathered / count
                    self.gathered = 0.0
                self.w -= step
            case "ormo":
                tick = -(-self.t // count)
                if tick > -(-(self.t - 1) // count):
                    self.w -= m * self.v
                    self.v *= m
                age = tick - -(-(self.t - tau) // count)
                self.v += m**age * gradient
                self.w -= sum(m**j for j in range(age + 1)) * gradient
            case _:
                self.v = m * self.v + m**tau * gradient
                self.w -= self.v
        self.t += 1

    def point(self):
        m, count, delay = self.m, self.workers, self.workers - 1
        match self.rule:
            case "lwp" | "lwp+sc":
                return self.w + delay * (self.w - self.before)
            case "dana":
                return self.w - m * self.own.sum()
            case "smega2":
                s = self.t % count
                ahead = m * (count + s * (m - 1)) * self.v
                return self.w - m * s / count * self.gathered - ahead
            case "roll-forward":
                u, predicted = self.v, self.w
                for _ in range(delay):
                    u = m * u + m**delay * self.last
                    predicted -= u
                return predicted
            case "dm0":
                fill = 0.4 * delay * sum(m**j for j in range(delay))
                return self.w - delay * self.v - fill * self.last
        return self.w


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("rule", RULES)
def test_the_matrix_is_the_rule_with_workers_in_turn(rule, workers):
    x, momentum = 0.04, 0.6
    one, period = matrix(rule, "round-robin", x, momentum, workers)
    polynomial = np.poly(one)
    server = Server(rule, momentum, workers)
    sent = [(0, server.point())] * workers
    points = []
    # The first gradients, all of version 0, are fresher than those of workers in turn.
    for t in range(2 * workers + len(polynomial) * period):
        read, point = sent[t % workers]
        server.push(t % workers, x * point, t - read)
        sent[t % workers] = t + 1, server.point()
        points.append(server.point())
    # Cayley and Hamilton: what is linear in the state, a period apart, obeys the polynomial.
    apart = np.array(points)[2 * workers :: period]
    assert len(apart) == len(polynomial)
    assert abs(polynomial @ apart[::-1]) < 1e-12 * abs(apart).max()


def test_a_mean_is_the_mean_of_simulated_exponential_workers():
    # Exponential times: who is next is uniform, whatever happened before.
    workers, x, steps, runs = 4, 0.3, 30, 20_000
    generator = np.random.default_rng(0)
    sent = np.ones((runs, workers))
    w, every = np.ones(runs), np.arange(runs)
    matrix_, _ = matrix("sgd", "exponential", x, 0.0, workers)
    mean = np.ones(2)
    for _ in range(steps):
        who = generator.integers(workers, size=runs)
        w -= x * sent[every, who]
        sent[every, who] = w
        mean = matrix_ @ mean
        assert w.mean() == pytest.approx(mean[0], abs=5 * w.std() / runs**0.5 + 1e-12)


class TestKnownFactors:
    def test_gradient_descent(self):
        x = np.array([0.2, 1.0, 1.7, 2.5])
        np.testing.assert_allclose(spectral_radius("sgd", 0, x), abs(1 - x), atol=1e-12)

    @pytest.mark.parametrize("delay", [1, 2, 4, 8])
    def test_the_fastest_single_mode_under_a_constant_delay(self, delay):
        x = delay**delay / (delay + 1) ** (delay + 1)
        fastest = delay / (delay + 1)
        # At a double root the eigenvalues are good to the square root of the rounding.
        assert spectral_radius("sgd", delay, np.array([x]))[0] == pytest.approx(fastest, abs=1e-6)
        for other in (0.95 * x, 1.05 * x):
            assert spectral_radius("sgd", delay, np.array([other]))[0] > fastest

    @pytest.mark.parametrize("rule", RULES)
    def test_arrays_broadcast_and_agree_with_single_values(self, rule):
        x, momenta = np.array([0.01, 0.2]), np.array([[0.0], [0.5], [0.9]])
        together = spectral_radius(rule, 3, x, momenta)
        assert together.shape == (3, 2)
        one = spectral_radius(rule, 3, np.array([0.2]), 0.5)
        assert together[1, 1] == pytest.approx(one[0], rel=1e-12)

    @pytest.mark.parametrize("rule", RULES)
    def test_one_worker_is_synchronous(self, rule):
        x = np.array([0.01, 0.2, 1.0])
        momentum = 0.0 if rule == "sgd" else 0.7
        like = "nesterov" if rule in ("nesterov", "dana", "smega2") else "heavy-ball"
        np.testing.assert_allclose(
            spectral_radius(rule, "round-robin", x, momentum, workers=1),
            spectral_radius(like, 0, x, momentum),
            atol=1e-7,
        )


class TestTheDoor:
    def test_an_unknown_rule_is_told_the_near_ones(self):
        with pytest.raises(ValueError, match="did you mean heavy-ball"):
            spectral_radius("heavyball", 0, np.array([0.1]))
        with pytest.raises(ValueError, match="known are sgd, heavy-ball"):
            spectral_radius("xyz", 0, np.array([0.1]))

    @pytest.mark.parametrize(
        ("staleness", "workers", "message"),
        [
            (-1, None, "staleness of whole updates >= 0, got -1"),
            (1.5, None, "whole updates >= 0, got 1.5"),
            (True, None, "whole updates >= 0, got True"),
            (2, 3, "no workers beside a constant staleness, got 3"),
            ("round-robin", None, 'at least 1 worker for "round-robin", got None'),
            ("exponential", 0, 'at least 1 worker for "exponential", got 0'),
            ("poisson", 3, '"round-robin" or "exponential", got \'poisson\''),
        ],
    )
    def test_bad_staleness_is_named(self, staleness, workers, message):
        with pytest.raises(ValueError, match=message):
            spectral_radius("sgd", staleness, np.array([0.1]), workers=workers)

    @pytest.mark.parametrize("momentum", [1.0, -1.0, float("nan")])
    def test_bad_momentum_is_named(self, momentum):
        with pytest.raises(ValueError, match=r"momentum in \(-1, 1\), got"):
            spectral_radius("heavy-ball", 1, np.array([0.1]), momentum)

    def test_bad_x_is_named(self):
        with pytest.raises(ValueError, match="finite x"):
            spectral_radius("sgd", 1, np.array([float("nan")]))

    @pytest.mark.parametrize("rule", ["dana", "multi-asgd", "ormo", "roll-forward", "dm0"])
    def test_rules_that_date_gradients_have_no_mean_dynamics(self, rule):
        with pytest.raises(ValueError, match="own staleness or worker"):
            spectral_radius(rule, "exponential", np.array([0.1]), 0.5, workers=4)
