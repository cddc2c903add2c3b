"""A rule applied slice by slice computes the bits that it computes on the whole vector."""

import copy

import pytest
import torch

from cases_rules import RULES
from lagrad import rules
from lagrad.core import Average, Gradient, Layout, length
from lagrad.runtimes.ray._slices import SliceKeeper, bounds
from lagrad.runtimes.wire._messages import Apply, Key, Share

SIZE, STEPS, DECAY = 3 * 1024 + 777, 8, 0.9
ELEMENTWISE = [rule for rule in RULES if getattr(rule, "elementwise", False)]


def steps():
    """Eight steps of one to three gradients, one of them much longer than usual."""
    generator = torch.Generator().manual_seed(0)
    for version in range(STEPS):
        yield [
            Gradient(
                worker=worker,
                tau=min(version, (version * 7 + worker) % 4),
                samples=1 + worker,
                values=(50.0 if version == 5 else 1.0) * torch.randn(SIZE, generator=generator),
            )
            for worker in range(1 + version % 3)
        ]


@pytest.mark.parametrize("rule", ELEMENTWISE, ids=repr)
@pytest.mark.parametrize("shards", [2, 3])
def test_slices_of_the_result_are_results_of_the_slices(rule, shards):
    params = torch.linspace(-1.0, 1.0, SIZE)
    whole, state = params.clone(), rule.init(params, Layout(("x",), ((SIZE,),), params.dtype))
    average = Average(DECAY, whole.clone())
    cuts = bounds(SIZE, shards)
    keepers = [SliceKeeper.new(rule, params[a:b].clone(), ema=DECAY) for a, b in cuts]
    for version, gradients in enumerate(steps()):
        point = rule.point(whole, state, version=version, expected_tau=1.5).clone()
        for keeper in keepers:
            for worker in (0, 1):
                keeper.point(worker, expected_tau=1.5)
        parts = [keeper.point(2, expected_tau=1.5) for keeper in keepers]
        assert torch.equal(torch.cat(parts), point)
        shares = []
        for gradient in gradients:
            key = Key(gradient.worker, 0, version)
            for keeper, (a, b) in zip(keepers, cuts, strict=True):
                assert keeper.put(key, gradient.values[a:b])
            shares.append(Share(key, gradient.tau, gradient.samples, length(gradient.values)))
        with_snapshots = [
            Gradient(worker=g.worker, tau=g.tau, samples=g.samples, values=g.values, snapshot=point)
            for g in gradients
        ]
        rule.apply(whole, state, with_snapshots, version=version)
        average.update(whole, version=version + 1)
        for keeper in keepers:
            keeper.apply(Apply(version, tuple(shares)))
        assert torch.equal(torch.cat([keeper.state.params for keeper in keepers]), whole)
        evaluated = torch.cat([keeper.evaluation_params for keeper in keepers])
        assert torch.equal(evaluated, average.values)


def test_most_rules_can_be_sliced_and_those_that_measure_the_whole_vector_cannot():
    refused = {type(rule) for rule in RULES} - {type(rule) for rule in ELEMENTWISE}
    assert refused == {rules.YellowFin, rules.TorchOptimizer, rules.Projected, rules.Split}
    twice = rules.Clipped(rules.Clipped(rules.SGD()))
    inside = rules.DelayCompensated(rules.Clipped(rules.SGD()))
    assert not twice.elementwise
    assert not inside.elementwise
    assert rules.default_rule(4).elementwise


def keeper():
    return SliceKeeper.new(rules.Momentum(lr=0.1), torch.zeros(8), ema=None)


def apply_once(own, key, version):
    own.apply(Apply(version, (Share(key, 0, 1, 1.0),)))


def test_a_push_that_comes_again_is_applied_once():
    own, key = keeper(), Key(0, 0, 0)
    assert own.put(key, torch.ones(8))
    assert own.put(key, torch.full((8,), 7.0)), "the first one stays"
    apply_once(own, key, 0)
    own.put(key, torch.ones(8))
    assert not own.state.waiting
    assert torch.equal(own.state.params, torch.full((8,), -0.1))


def test_a_push_is_known_from_its_slice_on():
    own = keeper()
    assert not own.knows(Key(0, 0, 1))
    own.put(Key(0, 0, 1), torch.ones(8))
    apply_once(own, Key(0, 0, 1), 0)
    assert own.knows(Key(0, 0, 1))
    assert own.knows(Key(0, 0, 0)), "an earlier one of this worker will not come any more"
    assert not own.knows(Key(0, 1, 0))


def test_a_discarded_push_is_not_kept_whether_it_has_come_or_not():
    own = keeper()
    own.put(Key(0, 0, 0), torch.ones(8))
    own.discard(Key(0, 0, 0))
    own.discard(Key(1, 0, 0))
    own.put(Key(1, 0, 0), torch.ones(8))
    assert not own.state.waiting
    assert not own.state.refused


def test_values_that_are_not_finite_are_told():
    own = keeper()
    assert not own.put(Key(0, 0, 0), torch.tensor([1.0, torch.nan] * 4))
    assert own.put(Key(0, 0, 1), torch.full((8,), 3e38)), "only their sum is infinite"


def test_a_second_keeper_goes_on_where_the_first_was():
    first = keeper()
    first.put(Key(0, 0, 0), torch.ones(8))
    apply_once(first, Key(0, 0, 0), 0)
    first.put(Key(1, 0, 0), torch.full((8,), 2.0))
    second = SliceKeeper(first.rule, copy.deepcopy(first.state))
    for each in (first, second):
        apply_once(each, Key(1, 0, 0), 1)
    assert torch.equal(first.state.params, second.state.params)
    assert torch.equal(first.state.rule_state.velocity, second.state.rule_state.velocity)


@pytest.mark.parametrize(("numel", "shards"), [(5000, 2), (431_080, 3), (2048, 2)])
def test_slices_cover_the_vector(numel, shards):
    cuts = bounds(numel, shards)
    assert len(cuts) == shards
    assert [a for a, _ in cuts] == [0, *(b for _, b in cuts[:-1])]
    assert cuts[-1][1] == numel


def test_more_servers_than_blocks_are_refused():
    with pytest.raises(ValueError, match=r"Expected at most 1 servers .* use fewer"):
        bounds(1000, 2)
