"""Gradients much longer than usual are shortened, all others pass untouched."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lagrad.core import Gradient, Layout
from lagrad.rules import (
    SGD,
    Clipped,
    DelayCompensated,
    Momentum,
    TorchOptimizer,
    YellowFin,
    default_rule,
)

LAYOUT = Layout(("x",), ((3,),), torch.float64)
DIRECTION = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3


def step(*lengths):
    return [
        Gradient(worker=i, tau=0, samples=1, values=DIRECTION * length)
        for i, length in enumerate(lengths)
    ]


def path(rule, steps):
    x = torch.zeros(3, dtype=torch.float64)
    state = rule.init(x, LAYOUT)
    for version, gradients in enumerate(steps):
        rule.apply(x, state, gradients, version=version)
    return x


def test_a_gradient_is_cut_to_the_multiple_of_the_median_before_its_step():
    x = path(Clipped(SGD(lr=1.0), factor=3.0), [step(1.0), step(2.0), step(100.0)])
    assert -(x @ DIRECTION).item() == pytest.approx(1.0 + 2.0 + 3.0 * 1.5, rel=1e-12)
    assert torch.linalg.vector_norm(x + DIRECTION * 7.5) < 1e-12


def test_a_lasting_change_of_scale_is_accepted_in_the_end():
    # The median is of what came, not of what was left of it.
    steps = [step(1.0)] * 128 + [step(10.0)] * 129
    last = path(Clipped(SGD(lr=1.0)), steps) - path(Clipped(SGD(lr=1.0)), steps[:-1])
    assert -(last @ DIRECTION).item() == pytest.approx(10.0, rel=1e-9)


def test_zeros_hold_nothing_back():
    x = path(Clipped(SGD(lr=1.0)), [step(0.0)] * 3 + [step(5.0)])
    assert -(x @ DIRECTION).item() == pytest.approx(5.0, rel=1e-12)


@given(st.permutations([1.0, 2.0, 40.0, 50.0]))
def test_all_gradients_of_a_step_are_held_to_the_same_length(lengths):
    rule, usual = Clipped(SGD(lr=1.0)), step(1.0, 2.0, 3.0)
    expected = path(rule, [usual, step(1.0, 2.0, 40.0, 50.0)])
    torch.testing.assert_close(path(rule, [usual, step(*lengths)]), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", [Momentum(lr=0.1), default_rule(4).rule], ids=["plain", "dated"])
def test_usual_gradients_give_the_rules_own_bits(rule):
    generator = torch.Generator().manual_seed(0)
    lengths = (1 + torch.rand(30, generator=generator)).tolist()
    steps = [step(length) for length in lengths]
    assert torch.equal(path(Clipped(rule, factor=2.5), steps), path(rule, steps))


def test_one_gradient_from_far_away_does_not_end_the_run():
    # f(x) = x^4 / 4 from 1; at version 20 comes a gradient that was computed at x + 10.
    def train(rule):
        x = torch.ones(1, dtype=torch.float64)
        state = rule.init(x, Layout(("x",), ((1,),), torch.float64))
        for version in range(60):
            values = (x + (10.0 if version == 20 else 0.0)) ** 3
            gradient = Gradient(worker=0, tau=0, samples=1, values=values)
            rule.apply(x, state, [gradient], version=version)
        return abs(x.item())

    plain = Momentum(lr=0.1, momentum=0.5)
    assert not train(plain) < 1e6
    assert train(Clipped(plain)) < 0.5


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_bad_factors_are_refused(factor):
    with pytest.raises(ValueError, match="Expected factor > 0"):
        Clipped(SGD(), factor=factor)


@pytest.mark.parametrize("usual", [1e-25, 1.0])
def test_lengths_whose_squares_no_float32_holds_are_clipped_all_the_same(usual):
    x = torch.zeros(2)
    rule = Clipped(SGD(lr=1.0), factor=2.0)
    state = rule.init(x, Layout(("x",), ((2,),), torch.float32))
    for version, size in enumerate([usual, usual, 1e25 * usual]):
        before = x.clone()
        values = torch.full((2,), size)
        gradient = Gradient(worker=0, tau=0, samples=1, values=values)
        rule.apply(x, state, [gradient], version=version)
    assert (before - x).tolist() == pytest.approx([2 * usual] * 2, rel=1e-5)


@pytest.mark.parametrize("within", [SGD(), YellowFin(), TorchOptimizer("adam"), default_rule(3)])
def test_a_rule_around_another_asks_for_lengths_where_that_one_does(within):
    asks = isinstance(within, Clipped)
    assert DelayCompensated(within).takes_lengths is asks
    assert DelayCompensated(Clipped(within)).takes_lengths
