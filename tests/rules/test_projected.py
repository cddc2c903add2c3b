"""Constrained problems: any rule, followed by a projection."""

import math

import pytest
import torch

from lagrad.core import Gradient, Layout
from lagrad.rules import SGD, DynamicMomentum, Momentum, Projected, default_rule
from lagrad.sets import Ball, Box, NonNegative
from lagrad.weights import Geometric, Inverse

LAYOUT = Layout(("x",), ((4,),), torch.float64)
SCALAR = Layout(("x",), ((1,),), torch.float64)


def gradient(values, *, tau=0):
    return Gradient(worker=0, tau=tau, samples=1, values=values)


def random_gradients(count=20):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, dtype=torch.float64, generator=generator) for _ in range(count)]


class TestTheNoteWithAConstraint:
    """min x^2 s.t. x >= 1, from x0 = 8 with step 1/4: x -> 1, not 0."""

    onto = Box(1.0, math.inf)

    def test_gradient_descent_by_hand(self):
        rule = Projected(SGD(lr=0.25), onto=self.onto)
        x, points = torch.tensor([8.0], dtype=torch.float64), []
        state = rule.init(x, SCALAR)
        for version in range(6):
            rule.apply(x, state, [gradient(2 * x)], version=version)
            points.append(x.item())
        assert points == [4.0, 2.0, 1.0, 1.0, 1.0, 1.0]

    @pytest.mark.parametrize(
        "rule",
        [
            SGD(lr=0.05, weight=Inverse()),
            Momentum(lr=0.01),
            DynamicMomentum(lr=0.05, kernel=Geometric(0.5), horizon=4),
            DynamicMomentum(lr=0.02, kernel=Geometric(0.9), catch_up=1.0, bucket=4),
            default_rule(4),
        ],
        ids=lambda rule: type(rule).__name__,
    )
    @pytest.mark.parametrize("workers", [1, 4])
    def test_every_rule_gets_there_with_gradients_that_come_late(self, rule, workers):
        rule = Projected(rule, onto=self.onto)
        x = torch.tensor([8.0], dtype=torch.float64)
        state = rule.init(x, SCALAR)
        sent = [(0, x.clone())] * workers
        for version in range(300):
            read, point = sent[version % workers]
            assert point.item() >= 1.0
            rule.apply(x, state, [gradient(2 * point, tau=version - read)], version=version)
            assert x.item() >= 1.0
            ahead = rule.point(x, state, version=version + 1, expected_tau=workers - 1.0)
            sent[version % workers] = version + 1, ahead.clone()
        assert x.item() == 1.0


def test_the_state_does_not_see_the_projection():
    for free in (Momentum(lr=0.1), default_rule(4, lr=0.1)):
        bound = Projected(free, onto=Ball(0.1))
        x, y = (torch.zeros(4, dtype=torch.float64) for _ in range(2))
        states = free.init(x, LAYOUT), bound.init(y, LAYOUT)
        for version, values in enumerate(random_gradients()):
            free.apply(x, states[0], [gradient(values)], version=version)
            bound.apply(y, states[1], [gradient(values)], version=version)
        assert repr(states[0]) == repr(states[1])
        assert y.norm() == pytest.approx(0.1, rel=1e-12)
        assert x.norm() > 0.2


def test_it_is_the_rules_own_step_and_then_the_projection():
    free = default_rule(4, lr=0.1)
    bound = Projected(free, onto=NonNegative())
    x, y = (torch.full((4,), 0.1, dtype=torch.float64) for _ in range(2))
    states = free.init(x, LAYOUT), bound.init(y, LAYOUT)
    for version, values in enumerate(random_gradients()):
        free.apply(x, states[0], [gradient(values)], version=version)
        x.clamp_(min=0.0)
        bound.apply(y, states[1], [gradient(values)], version=version)
        assert torch.equal(x, y)
        ahead = free.point(x, states[0], version=version + 1, expected_tau=3.0).clamp(min=0.0)
        assert torch.equal(bound.point(y, states[1], version=version + 1, expected_tau=3.0), ahead)


def test_where_the_set_is_wide_it_is_the_rule_itself():
    free = default_rule(4, lr=0.1)
    wide = Projected(free, onto=Ball(1e6))
    x, y = (torch.zeros(4, dtype=torch.float64) for _ in range(2))
    states = free.init(x, LAYOUT), wide.init(y, LAYOUT)
    for version, values in enumerate(random_gradients()):
        free.apply(x, states[0], [gradient(values)], version=version)
        wide.apply(y, states[1], [gradient(values)], version=version)
        assert torch.equal(x, y)


class TestWhatIsSent:
    def test_is_feasible_also_ahead(self):
        rule = Projected(default_rule(4, lr=0.5), onto=Ball(1.0))
        x = torch.full((4,), 0.5, dtype=torch.float64)
        state = rule.init(x, LAYOUT)
        for version in range(5):
            values = torch.tensor([-5.0, 0.0, 0.0, 0.0], dtype=torch.float64)
            rule.apply(x, state, [gradient(values)], version=version)
            assert x.norm() <= 1 + 1e-12
            free = rule.rule.point(x, state, version=version + 1, expected_tau=3.0)
            assert free.norm() > 1.1
            point = rule.point(x, state, version=version + 1, expected_tau=3.0)
            assert point.norm() <= 1 + 1e-12
            assert point is not x

    @pytest.mark.parametrize("rule", [SGD(lr=0.1), default_rule(4)], ids=["SGD", "ahead"])
    def test_is_feasible_also_where_the_start_is_not(self, rule):
        rule = Projected(rule, onto=Ball(1.0))
        x = torch.full((4,), 3.0, dtype=torch.float64)
        point = rule.point(x, rule.init(x, LAYOUT), version=0, expected_tau=0.0)
        assert point.tolist() == [0.5] * 4
        assert x.tolist() == [3.0] * 4

    def test_without_look_ahead_is_the_parameters_and_no_copy(self):
        rule = Projected(SGD(lr=0.1), onto=Ball(1.0))
        x = torch.zeros(4, dtype=torch.float64)
        assert rule.point(x, None, version=3, expected_tau=0.0) is x


def test_answers_are_those_of_the_rule():
    ahead, plain = default_rule(4), SGD(lr=0.1, weight=Inverse())
    assert Projected(ahead, onto=Ball(1.0)).looks_ahead
    assert not Projected(plain, onto=Ball(1.0)).looks_ahead
    assert not Projected(plain, onto=Ball(1.0)).needs_snapshots
    inside = Projected(plain, onto=Ball(1.0))
    state = inside.init(torch.zeros(1), Layout(("x",), ((1,),), torch.float32))
    assert inside.weight_of(3, version=9, state=state) == 0.25
