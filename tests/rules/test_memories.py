"""All ways to keep the past agree with the formula that keeps everything."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lagrad.core import Gradient, Layout
from lagrad.rules import DynamicMomentum
from lagrad.rules._memories import fit_exponentials
from lagrad.weights import Constant, CutOff, Exponential, Geometric, Hinge, Inverse, Polynomial

SIZE = 3
LAYOUT = Layout(("x",), ((SIZE,),), torch.float64)

arrivals = st.lists(
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=3),
    min_size=1,
    max_size=25,
)


def run(rule, steps, seed=0):
    """The trajectory of the rule, and the gradients it was given: (tick of reading, c, g)."""
    torch.manual_seed(seed)
    x = torch.zeros(SIZE, dtype=torch.float64)
    state = rule.init(x, LAYOUT)
    points, given_ = [], []
    for version, step in enumerate(steps):
        batch = [
            Gradient(
                worker=i,
                tau=min(tau, version),
                samples=samples,
                values=torch.randn(SIZE, dtype=torch.float64),
            )
            for i, (tau, samples) in enumerate(step)
        ]
        rule.apply(x, state, batch, version=version)
        points.append(x.clone())
        given_.append(batch)
    return points, given_


def by_the_formula(rule, batches):
    """d_t of the design, term by term, with ages in ticks and the catch-up."""

    def tick(version):
        return -(-version // rule.bucket)

    def gamma(age):
        return 0.0 if rule.horizon is not None and age > rule.horizon else rule.kernel(age)

    x, points = torch.zeros(SIZE, dtype=torch.float64), []
    for now, _ in enumerate(batches):
        d = torch.zeros(SIZE, dtype=torch.float64)
        for then in range(now + 1):
            batch = batches[then]
            total = sum(g.samples for g in batch)
            for g in batch:
                c = rule.weight(g.tau) * g.samples / total
                age = tick(now) - tick(then - g.tau)
                if then == now:
                    late = sum(gamma(j) for j in range(tick(then) - tick(then - g.tau)))
                    d += c * (gamma(age) + rule.catch_up * late) * g.values
                elif now == 0 or tick(now) > tick(now - 1):
                    d += c * gamma(age) * g.values
        x = x - 0.1 * d
        points.append(x)
    return points


RULES = [
    DynamicMomentum(lr=0.1, kernel=kernel, weight=weight, horizon=horizon, catch_up=c, bucket=b)
    for kernel, horizon in [
        (Geometric(0.8), None),
        (Exponential(0.3), None),
        (Geometric(0.8), 2),
        (Polynomial(1.0), 5),
        (Hinge(1.0, 2), 9),
        (CutOff(3), None),
    ]
    for weight in (Constant(), Inverse(2.0))
    for c, b in ((0.0, 1), (0.5, 1), (1.0, 3))
]


@pytest.mark.parametrize("rule", RULES, ids=repr)
@settings(derandomize=True, deadline=None, max_examples=15)
@given(steps=arrivals)
def test_every_memory_follows_the_formula(rule, steps):
    points, batches = run(rule, steps)
    for mine, wanted in zip(points, by_the_formula(rule, batches), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("memory", ["recursion", "ring", "exponentials"])
@settings(derandomize=True, deadline=None, max_examples=15)
@given(steps=arrivals)
def test_memories_agree_with_the_history(memory, steps):
    horizon = 40 if memory == "ring" else None
    kernel = Polynomial(1.0) if memory == "exponentials" else Geometric(0.7)
    kept = {
        name: run(DynamicMomentum(lr=0.1, kernel=kernel, horizon=horizon, memory=name), steps)[0]
        for name in (memory, "history")
    }
    # Each of the gradients so far (norm below 8) is off by at most 2e-3 of itself at each step.
    tolerance = 2e-3 * 0.1 * 8 * len(steps) ** 2 if memory == "exponentials" else 1e-11
    for mine, wanted in zip(kept[memory], kept["history"], strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=tolerance)


@pytest.mark.parametrize("kernel", [Polynomial(0.5), Polynomial(1.0), Polynomial(2.0), Inverse()])
def test_a_mixture_of_exponentials_fits(kernel):
    amplitudes, ratios = fit_exponentials(kernel)
    ages = np.arange(2000)
    fitted = (np.array(amplitudes) * np.array(ratios) ** ages[:, None]).sum(axis=1)
    wanted = np.array([kernel(int(age)) for age in ages])
    assert np.abs(fitted - wanted).max() <= 2e-3
    assert fitted[0] == pytest.approx(1.0, abs=1e-6)
    assert len(amplitudes) <= 11


def test_what_is_no_mixture_is_refused():
    with pytest.raises(ValueError, match="mixture of exponentials"):
        DynamicMomentum(lr=0.1, kernel=Hinge())


@pytest.mark.parametrize(
    "arguments",
    [
        {"catch_up": 1.5},
        {"bucket": 0},
        {"horizon": -1},
        {"weight_decay": -1.0},
        {"lr": -0.1},
        {"memory": "ring"},
        {"memory": "recursion", "kernel": Polynomial()},
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=r"Expected|needs"):
        DynamicMomentum(**arguments)
