"""Bad arguments are refused where they are given, with what to do instead."""

import math

import pytest

from lagrad import Until, rules, schedules, train
from lagrad.rules import SGD, Scheduled, Split
from lagrad.runtimes import Simulator

BAD = [
    (rules.DelayCompensated, {"rule": rules.SGD(), "strength": -1.0}),
    (rules.DelayCompensated, {"rule": rules.SGD(), "strength": math.nan}),
    (rules.DelayCompensated, {"rule": rules.SGD(), "decay": 1.0}),
    (rules.DelayedNesterov, {"workers": 0}),
    (rules.DelayedNesterov, {"workers": 4, "ahead": 0.3}),
    (rules.DynamicMomentum, {"memory": "diary"}),
    (rules.DynamicMomentum, {"horizon": 10**8}),
    (rules.GapAware, {"decay": 1.0}),
    (rules.GapAware, {"momentum": 1.0}),
    (rules.Ringleader, {"workers": 2.5}),
    (rules.Ringleader, {"workers": math.nan}),
    (rules.SMEGA2, {"workers": 0}),
    (rules.Throttle, {"workers": 4, "damping": 0.9}),
    (rules.TorchOptimizer, {"optimizer": "lbfgs"}),
    (rules.TorchOptimizer, {"optimizer": "muon"}),
    (rules.TorchOptimizer, {"optimizer": "adam", "options": (("beta", 0.9),)}),
    (rules.TorchOptimizer, {"optimizer": "adam", "options": (("betas", (2.0, 0.9)),)}),
    (rules.WeightPrediction, {"rule": rules.SGD(), "steps": -1.0}),
    (rules.WorkerMomenta, {"form": "dana"}),
    (rules.YellowFin, {"lr": 0.0}),
    (rules.Clipped, {"rule": rules.SGD(), "longest": 0.0}),
    (rules.capped_delay, {"workers": 0}),
    (rules.capped_delay, {"workers": 4, "lr": schedules.Constant(0.1)}),
    (rules.default_rule, {"workers": 0}),
    (rules.fadas, {"workers": 0}),
    (rules.fadas, {"workers": 4, "lr": 0.0}),
    (rules.ormo_da, {"workers": 4, "smoothness": 0.0}),
]


@pytest.mark.parametrize(("make", "given"), BAD, ids=[f"{m.__name__}-{g}" for m, g in BAD])
def test_is_refused(make, given):
    with pytest.raises(ValueError, match=r"Expected .*, got .*; "):
        make(**given)


@pytest.mark.parametrize("wrap", [lambda rule: rule, rules.Clipped], ids=["bare", "wrapped"])
def test_a_rule_for_more_workers_than_there_are_is_refused(wrap):
    def go(workers):
        return train(
            "quadratic",
            rule=wrap(rules.Ringleader(3, lr=0.01)),
            runtime=Simulator(),
            workers=workers,
            until=Until(updates=9),
        )

    with pytest.raises(ValueError, match=r"Expected a rule for 2 workers, .* which is for 3; "):
        go(2)
    assert go(3).updates == 9


@pytest.mark.parametrize("number", [0.5, 1.5, math.nan, -1, "1"])
def test_places_and_groups_are_whole_numbers(number):
    with pytest.raises(ValueError, match="Expected at >= 1"):
        Split(SGD(), SGD(), at=number)
    with pytest.raises(ValueError, match="Expected a group >= 0"):
        Scheduled(SGD(), group=number)
