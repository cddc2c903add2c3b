"""Roll-forward against its definition, and against where the server really goes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lagrad.core import Gradient, Layout
from lagrad.rules import DynamicMomentum, RollForward
from lagrad.schedules import InverseTime
from lagrad.weights import Constant, Exponential, Geometric, Polynomial

LAYOUT = Layout(("x",), ((4,),), torch.float64)


class TestCoefficients:
    @pytest.mark.parametrize("beta", [0.0, 0.3, 0.9, 0.97, 0.999])
    @pytest.mark.parametrize("steps", [0, 1, 2, 3, 7, 31])
    def test_are_the_sums_of_the_definition(self, beta, steps):
        reached = sum(beta**j for j in range(1, steps + 1))
        filled = beta**steps * sum((1 - beta**j) / (1 - beta) for j in range(1, steps + 1))
        near = {"rel": 1e-9, "abs": 1e-12}
        assert RollForward().coefficients(beta, steps) == pytest.approx((reached, filled), **near)
        scaled = RollForward(reach=2.0, fill=0.5).coefficients(beta, steps)
        assert scaled == pytest.approx((2 * reached, 0.5 * filled), **near)

    @pytest.mark.parametrize("beta", [0.0, 0.5, 0.97])
    def test_are_zero_where_nothing_is_in_flight(self, beta):
        assert RollForward().coefficients(beta, 0.0) == (0.0, 0.0)

    @given(beta=st.floats(0.01, 0.99), steps=st.floats(0, 40))
    def test_are_continuous_in_the_staleness_and_not_negative(self, beta, steps):
        here, there = (RollForward().coefficients(beta, d) for d in (steps, steps + 1e-7))
        assert there == pytest.approx(here, rel=1e-5, abs=1e-5)
        assert min(here) >= -1e-12

    @given(beta=st.floats(0.01, 0.99), steps=st.floats(0, 40))
    def test_reach_grows_with_the_staleness(self, beta, steps):
        reached = [RollForward().coefficients(beta, d)[0] for d in (steps, steps + 0.1)]
        assert reached[0] <= reached[1] + 1e-12

    @pytest.mark.parametrize("name", ["reach", "fill"])
    @pytest.mark.parametrize("bad", [-0.5, math.nan])
    def test_bad_arguments_are_named(self, name, bad):
        with pytest.raises(ValueError, match=rf"{name} >= 0, got {bad}"):
            RollForward(**{name: bad})


def gradients(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, dtype=torch.float64, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("delay", [0, 1, 3, 7])
def test_the_point_is_where_the_server_will_be_if_all_in_flight_equal_the_last(beta, delay):
    rule = DynamicMomentum(lr=0.1, kernel=Geometric(beta), lookahead=RollForward())
    x = torch.ones(4, dtype=torch.float64)
    state = rule.init(x, LAYOUT)
    for version, values in enumerate(gradients(8)):
        given_ = Gradient(worker=0, tau=min(version, delay), samples=1, values=values)
        rule.apply(x, state, [given_], version=version)
    predicted = rule.point(x, state, version=8, expected_tau=float(delay))
    again = Gradient(worker=0, tau=delay, samples=1, values=values)
    for version in range(8, 8 + delay):
        assert not torch.allclose(predicted, x, rtol=1e-6)
        rule.apply(x, state, [again], version=version)
    torch.testing.assert_close(predicted, x, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kernel", [Geometric(0.8), Exponential(0.25)], ids=repr)
def test_the_point_is_the_formula(kernel):
    # u and g kept by hand; two gradients a step, a falling rate, a fractional staleness. Late
    # gradients weigh less in the momentum, not in what fills in for those in flight.
    ahead, beta, delay = RollForward(reach=1.5, fill=0.5), kernel(1), 2.5
    rule = DynamicMomentum(
        lr=InverseTime(4.0), kernel=kernel, weight=Polynomial(1.0), lookahead=ahead
    )
    x = torch.ones(4, dtype=torch.float64)
    u = torch.zeros(4, dtype=torch.float64)
    state = rule.init(x, LAYOUT)
    values = gradients(20)
    for version in range(10):
        first, second = values[2 * version : 2 * version + 2]
        batch = [
            Gradient(worker=0, tau=(tau := min(version, 2)), samples=1, values=first),
            Gradient(worker=1, tau=0, samples=3, values=second),
        ]
        rule.apply(x, state, batch, version=version)
        u = beta * u + 0.25 / (1 + tau) * beta**tau * first + 0.75 * second
        g = 0.25 * first + 0.75 * second
        a, b = ahead.coefficients(beta, delay)
        wanted = x - (a * u + b * g) / (4.0 * (version + 2))
        sent = rule.point(x, state, version=version + 1, expected_tau=delay)
        torch.testing.assert_close(sent, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel": Polynomial()},
        {"kernel": Geometric(1.0)},
        {"kernel": Constant()},
        {"horizon": 3},
        {"bucket": 2},
        {"memory": "history"},
    ],
)
def test_what_cannot_be_rolled_forward_is_refused(arguments):
    with pytest.raises(ValueError, match="Look-ahead"):
        DynamicMomentum(**{"kernel": Geometric(0.9), **arguments}, lookahead=RollForward())
