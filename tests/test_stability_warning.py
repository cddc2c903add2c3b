"""A learning rate that cannot converge is warned of before the run, with the limit."""

import math
import re
import warnings

import pytest

from lagrad import Until, rules, schedules, train
from lagrad.policies import Asynchronous, KAsync, Synchronous
from lagrad.runtimes import Simulator
from lagrad.tasks import lenet_mnist, quadratic

SPECTRUM = (0.5, 2.0)
N = 4
#: Rules by learning rate, and their x_max with four workers in turn.
KNOWN = {
    "sgd": (lambda lr: rules.SGD(lr=lr), 2 * math.sin(math.pi / 14)),
    "heavy-ball": (lambda lr: rules.Momentum(lr=lr, momentum=0.5), None),
    "nesterov": (lambda lr: rules.nag_asgd(lr=lr, momentum=0.5), None),
    "multi-asgd": (lambda lr: rules.multi_asgd(lr=lr, momentum=0.5), None),
    "dana": (lambda lr: rules.dana_zero(lr=lr, momentum=0.5), None),
    "smega2": (lambda lr: rules.SMEGA2(N, lr=lr, momentum=0.5), None),
    "ormo": (lambda lr: rules.ormo(N, lr=lr, momentum=0.5), None),
    "spike-compensation": (lambda lr: rules.spike_compensation(lr=lr, momentum=0.5), None),
    "lwp": (lambda lr: rules.lwp(lr=lr, momentum=0.5), None),
    "lwp+sc": (lambda lr: rules.lwp_sc(lr=lr, momentum=0.5, steps=3), None),
    "roll-forward": (lambda lr: rules.roll_forward(N, lr=lr, momentum=0.5), None),
}


def run(rule, *, policy=None, task=None, updates=3):
    return train(
        task or quadratic(spectrum=SPECTRUM),
        rule=rule,
        policy=policy or Asynchronous(),
        runtime=Simulator(),
        workers=N,
        until=Until(updates=updates),
    )


def loss_after(rule, updates):
    return run(rule, updates=updates).evaluations[-1].scores["loss"]


@pytest.mark.parametrize("name", KNOWN)
def test_the_limit_named_is_where_runs_stop_converging(name):
    make, closed = KNOWN[name]
    with pytest.warns(
        UserWarning, match=f"Expected a learning rate of at most .* for {re.escape(name)}"
    ) as found:
        run(make(100.0))
    limit = float(str(found[0].message).split("at most ")[1].split()[0])
    if closed is not None:
        assert limit == pytest.approx(closed / max(SPECTRUM), rel=5e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        below = loss_after(make(0.9 * limit), 400)
    with pytest.warns(UserWarning, match="Lower it"):
        above = loss_after(make(1.1 * limit), 400)
    assert below < 1e-2
    assert not above < 1e2


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        (rules.SGD(lr=100.0), {"policy": KAsync(2)}),
        (rules.SGD(lr=schedules.Constant(100.0)), {}),
        (rules.Clipped(rules.SGD(lr=100.0)), {}),
        (rules.SMEGA2(N - 1, lr=100.0), {}),
        (rules.adam(lr=100.0), {}),
    ],
    ids=["policy", "schedule", "clipped", "other workers", "no polynomial"],
)
def test_what_is_not_known_is_not_warned_of(rule, given):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(rule, **given)


def test_nothing_late_has_the_larger_limit():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(rules.SGD(lr=0.99), policy=Synchronous())
    with pytest.warns(UserWarning, match="at most 1 for sgd at a constant staleness of 0"):
        run(rules.SGD(lr=1.01), policy=Synchronous())


def test_a_task_without_known_smoothness_is_left_alone():
    assert lenet_mnist().smoothness is None
