"""Exact identities between the rules and their textbook parents."""

import itertools
import random

import pytest
import torch
from torch import nn

from lagrad.core import Gradient, Layout
from lagrad.rules import SGD, DynamicMomentum, Momentum
from lagrad.weights import CutOff, Geometric

SCALAR = Layout(("x",), ((1,),), torch.float64)


def gradient(values, *, tau=0, samples=1, worker=0):
    return Gradient(worker=worker, tau=tau, samples=samples, values=values)


def fresh_model(dtype):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(108, 7)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("momentum", "nesterov", "weight_decay"),
    [c for c in itertools.product((0.0, 0.9), (False, True), (0.0, 1e-2)) if c[0] or not c[1]],
)
def test_one_worker_is_torch_sgd_bit_for_bit(dtype, momentum, nesterov, weight_decay):
    model = fresh_model(dtype)
    layout = Layout.of_parameters(model)
    flat = layout.pack(model.named_parameters())
    theirs = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
    )
    ours = (
        Momentum(lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
        if momentum
        else SGD(lr=0.1, weight_decay=weight_decay)
    )
    state = ours.init(flat, layout)
    for version in range(50):
        values = torch.randn(layout.size, dtype=dtype)
        views = layout.views(values)
        for name, parameter in model.named_parameters():
            parameter.grad = views[name].clone()
        theirs.step()
        ours.apply(flat, state, [gradient(values, samples=4)], version=version)
        assert torch.equal(flat, layout.pack(model.named_parameters())), version


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_without_momentum_it_is_sgd_bit_for_bit(dtype, weight_decay):
    torch.manual_seed(1)
    layout = Layout(("x",), ((37,),), dtype)
    plain = SGD(lr=0.05, weight_decay=weight_decay)
    still = Momentum(lr=0.05, momentum=0.0, weight_decay=weight_decay)
    x, y = torch.ones(37, dtype=dtype), torch.ones(37, dtype=dtype)
    states = plain.init(x, layout), still.init(y, layout)
    for version in range(50):
        batch = [gradient(torch.randn(37, dtype=dtype), worker=i, samples=1 + i) for i in range(3)]
        plain.apply(x, states[0], batch, version=version)
        still.apply(y, states[1], batch, version=version)
        assert torch.equal(x, y), version


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("catch_up", [0.0, 1.0])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
@pytest.mark.parametrize("samples", [(8,), (8, 8, 3)])
def test_nothing_late_is_heavy_ball_bit_for_bit(samples, weight_decay, catch_up, dtype):
    torch.manual_seed(1)
    layout = Layout(("x",), ((37,),), dtype)
    ball = Momentum(lr=0.05, momentum=0.9, weight_decay=weight_decay)
    dated = DynamicMomentum(
        lr=0.05, kernel=Geometric(0.9), weight_decay=weight_decay, catch_up=catch_up
    )
    x, y = torch.ones(37, dtype=dtype), torch.ones(37, dtype=dtype)
    states = ball.init(x, layout), dated.init(y, layout)
    for version in range(60):
        batch = [
            gradient(torch.randn(37, dtype=dtype), samples=n, worker=i)
            for i, n in enumerate(samples)
        ]
        ball.apply(x, states[0], batch, version=version)
        dated.apply(y, states[1], batch, version=version)
        assert torch.equal(x, y), version


class TestTheNote:
    """f(x) = x^2, x0 = 8, step 1/4."""

    def trajectory(self, rule):
        x = torch.tensor([8.0], dtype=torch.float64)
        state = rule.init(x, SCALAR)
        points = [x.item()]
        for version in range(40):
            rule.apply(x, state, [gradient(2 * x)], version=version)
            points.append(x.item())
        return points

    def test_equation_4_exactly(self):
        assert self.trajectory(SGD(lr=0.25)) == [0.5 ** (t - 3) for t in range(41)]

    @pytest.mark.parametrize("memory", ["ring", "history"])
    def test_equation_5_exactly(self, memory):
        rule = DynamicMomentum(lr=0.25, kernel=Geometric(1 / 8), horizon=1, memory=memory)
        points = self.trajectory(rule)
        assert points == [(2 * t + 2) * 0.25 ** (t - 1) for t in range(41)]
        for before, now, after in zip(points, points[1:], points[2:], strict=False):
            assert after == now / 2 - before / 16


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(3))
def test_full_catch_up_with_buckets_is_ordered_momentum(workers, seed):
    """The closed form of OrMo: every gradient sits in the slot of its date."""
    beta, eta = 0.8, 0.1
    rule = DynamicMomentum(lr=eta, kernel=Geometric(beta), catch_up=1.0, bucket=workers)
    draw = random.Random(seed)
    torch.manual_seed(seed)
    start = torch.randn(4, dtype=torch.float64)
    x, layout = start.clone(), Layout(("x",), ((4,),), torch.float64)
    state = rule.init(x, layout)
    read = [0] * workers
    history = []

    def bucket(version):
        return -(-version // workers)

    for version in range(60):
        worker = draw.randrange(workers)
        values = torch.randn(4, dtype=torch.float64)
        tau = version - read[worker]
        rule.apply(x, state, [gradient(values, tau=tau)], version=version)
        history.append((bucket(read[worker]), values))
        read[worker] = version + 1
        now = bucket(version)
        u = sum(beta ** (now - b) * eta * g for b, g in history)
        moved = sum((1 - beta ** (now - b + 1)) / (1 - beta) * eta * g for b, g in history)
        torch.testing.assert_close(eta * state.memory.direction(), u, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(x, start - moved, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("delay", [0, 1, 3, 7])
def test_full_catch_up_at_a_constant_delay_is_spike_compensation(delay):
    """x <- x - eta (beta^D m + (1 - beta^D)/(1 - beta) g), m the arrival-ordered momentum.

    By date u = beta^D m, as all gradients are D late and those before step D are zero.
    """
    beta, eta = 0.9, 0.1
    rule = DynamicMomentum(lr=eta, kernel=Geometric(beta), catch_up=1.0)
    torch.manual_seed(0)
    x, y = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    m = torch.zeros(3, dtype=torch.float64)
    state = rule.init(x, Layout(("x",), ((3,),), torch.float64))
    for version in range(delay, 40):
        g = torch.randn(3, dtype=torch.float64)
        rule.apply(x, state, [gradient(g, tau=delay)], version=version)
        m = beta * m + g
        y -= eta * (beta**delay * m + (1 - beta**delay) / (1 - beta) * g)
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


def test_full_catch_up_one_version_late_is_nesterov_by_arrival():
    late = DynamicMomentum(lr=0.1, kernel=Geometric(0.9), catch_up=1.0)
    nesterov = Momentum(lr=0.1, momentum=0.9, nesterov=True)
    torch.manual_seed(0)
    x, y = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    states = late.init(x, SCALAR), nesterov.init(y, SCALAR)
    for version in range(1, 40):
        g = torch.randn(1, dtype=torch.float64)
        late.apply(x, states[0], [gradient(g, tau=1)], version=version)
        nesterov.apply(y, states[1], [gradient(g, tau=1)], version=version)
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


def test_a_late_gradient_joins_the_momentum_at_its_date():
    """One gradient of 1, two versions late: it moves x by beta^2, beta^3, ... from then on."""
    rule = DynamicMomentum(lr=1.0, kernel=Geometric(0.5))
    x = torch.zeros(1, dtype=torch.float64)
    state = rule.init(x, SCALAR)
    moves = []
    for version in range(2, 6):
        before = x.item()
        values = torch.full((1,), 1.0 if version == 2 else 0.0, dtype=torch.float64)
        rule.apply(x, state, [gradient(values, tau=2)], version=version)
        moves.append(before - x.item())
    assert moves == [0.25, 0.125, 0.0625, 0.03125]


@pytest.mark.parametrize(
    "rules",
    [
        (DynamicMomentum(lr=0.1, horizon=0), SGD(lr=0.1, weight=CutOff())),
        (DynamicMomentum(lr=0.1, kernel=CutOff(0)), SGD(lr=0.1, weight=CutOff())),
        (
            DynamicMomentum(lr=0.1, kernel=Geometric(0.9), weight=CutOff()),
            Momentum(lr=0.1, momentum=0.9, weight=CutOff()),
        ),
    ],
    ids=["horizon 0", "kernel cut off", "weight cut off"],
)
def test_what_drops_late_gradients_drops_them_all_the_same(rules):
    torch.manual_seed(2)
    layout = Layout(("x",), ((5,),), torch.float64)
    x, y = torch.ones(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    states = rules[0].init(x, layout), rules[1].init(y, layout)
    for version in range(30):
        batch = [
            gradient(torch.randn(5, dtype=torch.float64), tau=min(version, tau), worker=i)
            for i, tau in enumerate((0, version % 3))
        ]
        rules[0].apply(x, states[0], batch, version=version)
        rules[1].apply(y, states[1], batch, version=version)
        torch.testing.assert_close(x, y, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "rule",
    [
        SGD(lr=0.1, weight=CutOff(1)),
        Momentum(lr=0.1, weight=CutOff(1)),
        DynamicMomentum(lr=0.1, horizon=0),
        DynamicMomentum(lr=0.1, weight=CutOff(1)),
    ],
)
def test_what_weighs_nothing_moves_nothing(rule):
    x = torch.ones(3)
    state = rule.init(x, Layout(("x",), ((3,),), torch.float32))
    rule.apply(x, state, [gradient(torch.full((3,), 7.0), tau=2)], version=5)
    assert torch.equal(x, torch.ones(3))
    assert rule.weight_of(2, version=5, state=None) == 0.0
