"""All ways to keep the past agree with the formula that keeps everything."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lagrad.core import Gradient, Layout
from lagrad.rules import DynamicMomentum
from lagrad.rules._memories import fit_exponentials
from lagrad.schedules import InverseTime
from lagrad.weights import Constant, CutOff, Exponential, Geometric, Hinge, Inverse, Polynomial

SIZE = 3
LAYOUT = Layout(("x",), ((SIZE,),), torch.float64)

#: Steps of one to three gradients, each (staleness, samples).
arrivals = st.lists(
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=3),
    min_size=1,
    max_size=25,
)


def with_gradients(steps):
    torch.manual_seed(0)
    return [
        [
            Gradient(
                worker=i,
                tau=min(tau, version),
                samples=samples,
                values=torch.randn(SIZE, dtype=torch.float64),
            )
            for i, (tau, samples) in enumerate(step)
        ]
        for version, step in enumerate(steps)
    ]


def trajectory(rule, batches):
    x = torch.ones(SIZE, dtype=torch.float64)
    state = rule.init(x, LAYOUT)
    points = []
    for version, batch in enumerate(batches):
        rule.apply(x, state, batch, version=version)
        points.append(x.clone())
    return points


def tick(rule, version):
    return -(-version // rule.bucket)


def by_the_formula(rule, batches):
    """x after each step, straight from the formula: every gradient is kept, nothing recurs.

    At every tick all gradients move x by what their age leaves of them; between ticks, and beside
    it for the catch-up, only those that have just arrived do.
    """

    def gamma(age):
        return 0.0 if rule.horizon is not None and age > rule.horizon else rule.kernel(age)

    x, points, kept = torch.ones(SIZE, dtype=torch.float64), [], []
    for now, batch in enumerate(batches):
        total = sum(g.samples for g in batch)
        for g in batch:
            share = rule.weight(g.tau) * g.samples / total
            kept.append((now, tick(rule, now - g.tau), share * g.values))
        kept.append((now, tick(rule, now), rule.weight_decay * x))
        d = torch.zeros(SIZE, dtype=torch.float64)
        for arrived, dated, g in kept:
            age = tick(rule, now) - dated
            if arrived == now or tick(rule, now) > tick(rule, now - 1):
                d = d + gamma(age) * g
            if arrived == now:
                d = d + rule.catch_up * sum(gamma(j) for j in range(age)) * g
        x = x - (rule.lr if isinstance(rule.lr, float) else rule.lr(now)) * d
        points.append(x)
    return points


RULES = [
    DynamicMomentum(
        lr=0.1,
        kernel=kernel,
        weight=weight,
        horizon=horizon,
        catch_up=catch_up,
        bucket=bucket,
        weight_decay=weight_decay,
        memory=memory,
    )
    for kernel, horizon, memories in [
        (Geometric(0.8), None, ("recursion", "history")),
        (Exponential(0.3), None, ("recursion", "history")),
        (Constant(), None, ("recursion", "history")),
        (Geometric(0.8), 2, ("ring", "history")),
        (Geometric(0.8), 0, ("ring", "history")),
        (Polynomial(1.0), 5, ("ring", "history")),
        (Polynomial(0.5), None, ("history",)),
        (Hinge(1.0, 2), 9, ("ring", "history")),
        (CutOff(3), None, ("ring", "history")),
        (CutOff(3), 2, ("ring", "history")),
    ]
    for memory in memories
    for weight, catch_up, bucket, weight_decay in [
        (Constant(), 0.0, 1, 0.0),
        (Inverse(2.0), 0.5, 1, 0.01),
        (Constant(), 1.0, 3, 0.0),
        (Polynomial(0.5), 0.3, 4, 0.02),
    ]
]


def short(rule):
    names = "kernel", "horizon", "weight", "catch_up", "bucket", "weight_decay", "memory"
    return "-".join(str(getattr(rule, name)) for name in names)


@pytest.mark.parametrize("rule", RULES, ids=short)
@settings(max_examples=8)
@given(steps=arrivals)
def test_every_exact_memory_follows_the_formula(rule, steps):
    batches = with_gradients(steps)
    for mine, wanted in zip(trajectory(rule, batches), by_the_formula(rule, batches), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-11)


@settings(max_examples=15)
@given(steps=arrivals)
def test_memories_that_share_a_kernel_agree_with_each_other(steps):
    # The horizon is beyond all ages that occur: 25 steps and 6 versions late.
    recursion = DynamicMomentum(lr=InverseTime(2.0), kernel=Geometric(0.7), catch_up=0.5)
    ring = replace(recursion, horizon=40, memory="ring")
    history = replace(recursion, memory="history")
    batches = with_gradients(steps)
    runs = [trajectory(rule, batches) for rule in (recursion, ring, history)]
    for by_recursion, by_ring, by_history in zip(*runs, strict=True):
        torch.testing.assert_close(by_recursion, by_history, rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(by_ring, by_history, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kernel", [Polynomial(0.5), Polynomial(1.0), Polynomial(2.0), Inverse()])
@pytest.mark.parametrize(("catch_up", "bucket"), [(0.0, 1), (0.5, 1), (1.0, 3)])
@settings(max_examples=8)
@given(steps=arrivals)
def test_exponentials_are_within_their_tolerance_of_the_formula(kernel, catch_up, bucket, steps):
    rule = DynamicMomentum(
        lr=0.1,
        kernel=kernel,
        weight=Inverse(2.0),
        catch_up=catch_up,
        bucket=bucket,
        memory="exponentials",
    )
    batches = with_gradients(steps)
    # Each gradient so far is off by at most 2e-3 of itself at each step.
    so_far, bound = torch.zeros(SIZE, dtype=torch.float64), torch.zeros(SIZE, dtype=torch.float64)
    for batch, mine, wanted in zip(
        batches, trajectory(rule, batches), by_the_formula(rule, batches), strict=True
    ):
        total = sum(g.samples for g in batch)
        for g in batch:
            so_far += rule.weight(g.tau) * g.samples / total * g.values.abs()
        bound += 0.1 * 2e-3 * so_far
        assert ((mine - wanted).abs() <= bound + 1e-11).all()


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (DynamicMomentum(kernel=Geometric(0.9)), "Recursion"),
        (DynamicMomentum(kernel=Exponential(0.5)), "Recursion"),
        (DynamicMomentum(kernel=Geometric(0.9), horizon=3), "Ring"),
        (DynamicMomentum(kernel=CutOff(3)), "Ring"),
        (DynamicMomentum(kernel=Polynomial()), "Exponentials"),
        (DynamicMomentum(kernel=Polynomial(), horizon=3), "Ring"),
    ],
    ids=repr,
)
def test_auto_is_the_cheapest_that_is_exact(rule, name):
    state = rule.init(torch.zeros(SIZE, dtype=torch.float64), LAYOUT)
    assert type(state.memory).__name__ == name


class TestTheMixture:
    @pytest.mark.parametrize(
        "kernel",
        [
            *(Polynomial(power) for power in (0.05, 0.1, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
            *(Polynomial(power) for power in (2.25, 2.5, 3.0, 4.0, 6.0, 10.0)),
            Inverse(),
            Hinge(1.0, 0),
        ],
        ids=repr,
    )
    def test_fits_what_falls_like_a_power_with_few_terms(self, kernel):
        amplitudes, ratios = fit_exponentials(kernel)
        ages = np.arange(2000)
        fitted = (np.array(amplitudes) * np.array(ratios) ** ages[:, None]).sum(axis=1)
        wanted = np.array([kernel(int(age)) for age in ages])
        assert np.abs(fitted - wanted).max() <= 2e-3
        assert fitted[0] == pytest.approx(1.0, abs=1e-12)
        assert min(amplitudes) > 0
        assert 0.0 <= min(ratios) <= max(ratios) < 1.0
        assert len(amplitudes) <= 16

    @pytest.mark.parametrize("kernel", [Hinge(), Inverse(4.0)], ids=repr)
    def test_refuses_what_stays_flat_and_then_falls(self, kernel):
        with pytest.raises(ValueError, match=r"mixture of exponentials, got .*give a horizon"):
            fit_exponentials(kernel)
        with pytest.raises(ValueError, match="mixture of exponentials"):
            DynamicMomentum(lr=0.1, kernel=kernel)
        assert DynamicMomentum(lr=0.1, kernel=kernel, horizon=8).kernel == kernel


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -0.1}, "-0.1"),
        ({"catch_up": 1.5}, "1.5"),
        ({"catch_up": float("nan")}, "nan"),
        ({"bucket": 0}, "got 0"),
        ({"horizon": -1}, "got -1"),
        ({"weight_decay": -1.0}, "-1.0"),
        ({"memory": "ring"}, "Expected a horizon"),
        ({"memory": "recursion", "kernel": Polynomial()}, r"got Polynomial\(power=0.5\)"),
        ({"memory": "recursion", "horizon": 3}, "with horizon 3"),
        ({"memory": "exponentials", "kernel": Polynomial(), "horizon": 3}, "no horizon"),
        ({"memory": "exponentials", "kernel": CutOff(3)}, "no horizon"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DynamicMomentum(**arguments)
