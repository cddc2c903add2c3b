"""Roll-forward that scales itself: its parents, and what it keeps when the workers change."""

import pytest
import torch

from lagrad import train
from lagrad.core import Gradient, Layout
from lagrad.policies import Asynchronous, KBatchAsync, Synchronous
from lagrad.rules import Momentum, PacedMomentum, default_rule, roll_forward
from lagrad.runtimes import Simulator, Until

LAYOUT = Layout(("x",), ((3,),), torch.float64)


def gradient(values, tau=0, worker=0):
    return Gradient(worker=worker, tau=tau, samples=1, values=values)


def draws(count):
    torch.manual_seed(0)
    return torch.randn(count, 3, dtype=torch.float64)


def jobs_to_target(rule, policy, workers, delays="gamma"):
    result = train(
        "quadratic:condition=30",
        rule=rule,
        policy=policy,
        workers=workers,
        delays=delays,
        runtime=Simulator(),
        until=Until(seconds=100, target="loss<=1e-3"),
        evaluate_every=0.25,
    )
    assert result.stopped.value == "target"
    return result.seconds


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_nothing_late_is_heavy_ball_bit_for_bit(weight_decay):
    paced = PacedMomentum(lr=0.1, momentum=0.9, workers=1, weight_decay=weight_decay)
    plain = Momentum(lr=0.1, momentum=0.9, weight_decay=weight_decay)
    x, y = torch.ones(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    one, other = paced.init(x, LAYOUT), plain.init(y, LAYOUT)
    for version, values in enumerate(draws(20)):
        step = [gradient(values), gradient(values + x, worker=1)]
        paced.apply(x, one, step, version=version)
        plain.apply(y, other, step, version=version)
        assert torch.equal(x, y)
        assert paced.point(x, one, version=version + 1, expected_tau=0.0) is x


def test_synchronous_training_is_heavy_ball_whatever_the_workers():
    def final(rule):
        return train(
            "quadratic:condition=30,noise=0.1",
            rule=rule,
            policy=Synchronous(),
            workers=4,
            runtime=Simulator(),
            until=Until(updates=40),
        ).digest

    assert final(PacedMomentum(lr=0.5, momentum=0.8, workers=4)) == final(
        Momentum(lr=0.5, momentum=0.8)
    )


@pytest.mark.parametrize("late", [1, 7])
def test_a_constant_staleness_is_roll_forward_with_its_constants(late):
    pace = late + 1
    rule = PacedMomentum(lr=0.3, momentum=0.8, workers=pace)
    decay, scale = rule.constants(pace)
    fixed = roll_forward(pace, lr=0.3 * scale, momentum=decay)
    x, y = torch.ones(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    one, other = rule.init(x, LAYOUT), fixed.init(y, LAYOUT)
    for version, values in enumerate(draws(60)):
        step = [gradient(values, tau=late)]
        rule.apply(x, one, step, version=version)
        fixed.apply(y, other, step, version=version)
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            rule.point(x, one, version=version + 1, expected_tau=late),
            fixed.point(y, other, version=version + 1, expected_tau=late),
            rtol=1e-12,
            atol=1e-12,
        )
        assert rule.weight_of(late, version=version, state=one) == pytest.approx(
            fixed.weight_of(late, version=version, state=other)
        )


def test_a_new_pace_leaves_the_displacement_as_it_was():
    rule = PacedMomentum(lr=0.3, momentum=0.8, workers=4)
    x = torch.zeros(3, dtype=torch.float64)
    state = rule.init(x, LAYOUT)
    for version in range(8):  # the guess of four a round, then the stalenesses say three
        rule.apply(x, state, [gradient(draws(1)[0], tau=2)], version=version)
    before = x.clone()
    displacement = 0.3 * rule.constants(4.0)[1] * state.momentum
    rule.apply(x, state, [gradient(torch.zeros(3, dtype=torch.float64), tau=2)], version=8)
    assert state.pace == 3.0
    torch.testing.assert_close(before - x, rule.constants(3.0)[0] * displacement)


def test_one_learning_rate_fits_any_number_of_workers():
    times = [
        jobs_to_target(PacedMomentum(lr=1.0, momentum=0.7, workers=n), Asynchronous(), n)
        for n in (2, 4, 8, 16, 32)
    ]
    assert max(times) < 1.25 * min(times)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_number_of_workers_is_but_a_first_guess(workers):
    told = jobs_to_target(PacedMomentum(lr=0.7, momentum=0.7, workers=8), Asynchronous(), 8)
    found = jobs_to_target(PacedMomentum(lr=0.7, momentum=0.7, workers=workers), Asynchronous(), 8)
    assert found < 1.5 * told


def test_one_learning_rate_fits_any_quorum():
    rule = PacedMomentum(lr=1.0, momentum=0.7, workers=8)
    times = [
        jobs_to_target(rule, policy, 8)
        for policy in (Synchronous(), KBatchAsync(4), KBatchAsync(2), Asynchronous())
    ]
    assert max(times) < 1.5 * min(times)


def test_the_default_rule_is_paced_by_the_workers():
    assert default_rule(4, lr=0.2).rule == PacedMomentum(lr=0.2, momentum=0.8, workers=4)
