"""The momentum that a run shows, measured from its steps, against what is known of it."""

import pytest
import torch

import lagrad
from lagrad import delays, policies, rules, runtimes, theory
from lagrad.core import Gradient, TotalMomentum
from lagrad.weights import Geometric

TASK = "quadratic:condition=20,noise=0.5"


def trained(rule, **options):
    given = {
        "policy": policies.Asynchronous(),
        "workers": 8,
        "until": lagrad.Until(updates=400),
        "runtime": runtimes.Simulator(),
    }
    return lagrad.train(TASK, rule=rule, **{**given, **options})


@pytest.mark.parametrize("beta", [0.0, 0.6, 0.9])
def test_of_synchronous_heavy_ball_it_is_its_momentum(beta):
    run = trained(rules.Momentum(lr=0.02, momentum=beta), policy=policies.Synchronous())
    assert run.total_momentum == pytest.approx(beta, abs=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.6])
@pytest.mark.parametrize(
    "times",
    [delays.Gamma(), delays.Stragglers(workers=(0,), factor=3.0), delays.Sampled("expon")],
)
def test_of_workers_never_held_it_is_the_closed_form_whatever_their_times(beta, times):
    run = trained(rules.Momentum(lr=0.005, momentum=beta), delays=times)
    # The mean staleness of the last hundred or so gradients alone is random.
    assert run.total_momentum == pytest.approx(theory.total_momentum(beta, 7), abs=0.02)
    assert theory.total_momentum(0.0, 7) == theory.implicit_momentum(8)


def test_late_gradients_that_enter_by_their_date_count_by_their_weight():
    run = trained(
        rules.DynamicMomentum(lr=0.005, kernel=Geometric(0.6)), delays=delays.Sampled("expon")
    )
    assert run.total_momentum < theory.total_momentum(0.6, 7) - 0.05


@pytest.mark.parametrize("staleness", [0, 3])
@pytest.mark.parametrize("beta", [-0.5, 0.0, 0.9])
def test_it_is_exact_with_several_weighted_gradients_a_step(beta, staleness):
    draw = torch.Generator().manual_seed(3)
    x, v = torch.zeros(900, dtype=torch.float64), torch.zeros(900, dtype=torch.float64)
    measured = TotalMomentum(x)
    for _ in range(20):
        gradients = [
            Gradient(
                worker=w, tau=staleness, samples=w + 1, values=torch.randn(900, generator=draw)
            )
            for w in range(2)
        ]
        weights = [1.0, 0.25]
        g = (gradients[0].values + 2 * 0.25 * gradients[1].values) / 3
        v = beta * v + g
        x = x - 0.1 * v
        measured.step(x, gradients, weights)
    assert measured.explicit == pytest.approx(beta, abs=1e-6)
    assert measured.staleness == pytest.approx(staleness)
    assert measured.total == pytest.approx(theory.total_momentum(beta, staleness), abs=1e-6)


@pytest.mark.parametrize("steps", [256, 257, 1024, 1100, 1791, 1792, 1793, 2500])
def test_of_a_long_run_every_fourth_block_is_looked_at(steps):
    draw = torch.Generator().manual_seed(3)
    x, v = torch.zeros(64), torch.zeros(64)
    measured = TotalMomentum(x)
    for number in range(steps):
        g = torch.randn(64, generator=draw)
        beta = 0.5 if number < 1024 or number >= 1792 else 0.9
        v = beta * v + g
        x = x - 0.1 * v
        measured.step(x, [Gradient(worker=0, tau=number, samples=1, values=g)], [1.0])
    # Had the steps of another momentum been seen, the least squares would be off.
    assert measured.explicit == pytest.approx(0.5, abs=2e-3)
    seen = [n for n in range(steps) if n < 1024 or n % 1024 >= 768]
    weights = [0.99**age for age in range(len(seen))]
    mean = sum(w * n for w, n in zip(weights, reversed(seen), strict=True)) / sum(weights)
    assert measured.staleness == pytest.approx(mean)


def test_what_cannot_be_told_is_none():
    x = torch.ones(4)
    measured = TotalMomentum(x)
    assert measured.total is None
    for _ in range(5):  # nothing moves
        measured.step(x, [Gradient(worker=0, tau=0, samples=1, values=0 * x)], [1.0])
    assert measured.total is None


def test_a_gradient_that_is_not_finite_is_left_out():
    run = TotalMomentum(torch.zeros(4))
    v, x = torch.zeros(4), torch.zeros(4)
    for number in range(8):
        g = torch.randn(4, generator=torch.Generator().manual_seed(number))
        v = 0.5 * v + g
        x = x - v
        run.step(x, [Gradient(worker=0, tau=0, samples=1, values=g)], [1.0])
    run.step(x, [Gradient(worker=0, tau=0, samples=1, values=g * torch.inf)], [1.0])
    assert run.explicit == pytest.approx(0.5, abs=1e-4)
    run.step(x * torch.nan, [Gradient(worker=0, tau=0, samples=1, values=g)], [1.0])
    assert run.explicit == pytest.approx(0.5, abs=1e-4)


def test_measuring_draws_nothing_from_the_global_generator():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    TotalMomentum(torch.zeros(2000))
    assert torch.equal(before, torch.random.get_rng_state())


def test_closed_loop_yellow_fin_takes_the_momentum_of_asynchrony_off_its_own():
    draw = torch.Generator().manual_seed(0)
    found = {}
    for late in (0, 30):
        rule = rules.YellowFin(closed_loop=True)
        x = torch.ones(40, dtype=torch.float64)
        state = rule.init(x, None)
        points = [x.clone()]
        for version in range(600):
            at = points[max(0, version - late)]
            g = at + 0.1 * torch.randn(40, generator=draw, dtype=torch.float64)
            gradient = Gradient(worker=0, tau=min(late, version), samples=1, values=g)
            rule.apply(x, state, [gradient], version=version)
            points.append(x.clone())
        found[late] = state.momentum
    assert found[30] < found[0]
    assert found[30] < 0.9
