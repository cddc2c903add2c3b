"""What every aggregation promises, and the breakdown points as published, from both sides."""

import itertools
import pickle

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from cases_values import AGGREGATIONS
from lagrad import policies, rules, specs
from lagrad.aggregations import CoordinateMedian, Krum, TrimmedMean
from lagrad.core import Gradient, Layout
from lagrad.delays import Equal
from lagrad.runtimes import Setup, Until
from lagrad.tasks import quadratic

HUGE = 1e30


def gaussian(count, size=4, seed=0):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def diameter(vectors):
    return max((a - b).norm().item() for a, b in itertools.combinations(vectors.double(), 2))


@pytest.mark.parametrize("aggregate", AGGREGATIONS, ids=str)
class TestContract:
    def test_equal_gradients_are_their_own_mean(self, aggregate):
        for count in range(1, 9):
            vector = gaussian(1)
            assert torch.allclose(aggregate(vector.expand(count, -1)), vector[0], rtol=1e-6)

    def test_the_input_is_left_alone_and_the_output_is_new(self, aggregate):
        for count in range(1, 9):
            values = gaussian(count)
            before = values.clone()
            out = aggregate(values)
            assert (out.shape, out.dtype) == (values[0].shape, values.dtype)
            out.add_(1.0)
            assert torch.equal(values, before)

    def test_it_is_a_value_that_travels_and_reads_back(self, aggregate):
        assert pickle.loads(pickle.dumps(aggregate)) == aggregate
        assert specs.parse("aggregation", specs.describe(aggregate)) == aggregate
        assert hash(aggregate) == hash(pickle.loads(pickle.dumps(aggregate)))

    def test_it_moves_and_scales_with_the_gradients(self, aggregate):
        values = gaussian(aggregate.fewest + 2).double()
        out = aggregate(values)
        assert torch.allclose(aggregate(3.0 * values + 1.0), 3.0 * out + 1.0)

    def test_equal_gradients_give_equal_bits(self, aggregate):
        values = gaussian(9)
        assert torch.equal(aggregate(values), aggregate(values.clone()))


@settings(deadline=None, max_examples=60)
@given(
    bad=st.integers(0, 3),
    extra=st.integers(0, 4),
    seed=st.integers(0, 1000),
    lie=st.sampled_from([HUGE, -HUGE, 0.0, 3.0, -1e-3]),
    place=st.randoms(use_true_random=False),
)
def test_what_is_borne_is_borne(bad, extra, seed, lie, place):
    """Yin et al. 2018: in the range of the honest, by coordinate; Blanchard et al.: near one."""
    honest = gaussian(bad + 3 + extra, seed=seed)
    values = list(torch.cat([honest, torch.full((bad, 4), lie)]))
    place.shuffle(values)
    values = torch.stack(values)
    low, high = honest.min(dim=0).values, honest.max(dim=0).values
    slack = 1e-5
    for aggregate in (CoordinateMedian(), TrimmedMean(bad)):
        out = aggregate(values)
        assert bool(((low - slack <= out) & (out <= high + slack)).all())
    count = len(values)
    assert count >= 2 * bad + 3
    chosen = Krum(bad)(values)
    nearest = min((chosen - one).norm().item() for one in honest)
    assert nearest <= (count - bad - 2) ** 0.5 * diameter(honest) + slack


@pytest.mark.parametrize("count", range(3, 10))
def test_the_median_breaks_with_half_of_the_gradients_and_not_before(count):
    for bad in range(count):
        values = gaussian(count)
        values[:bad] = HUGE
        broken = CoordinateMedian()(values).max().item() > HUGE / 4
        assert broken == (2 * bad >= count)


@pytest.mark.parametrize("trim", [0, 1, 2, 3])
def test_the_trimmed_mean_breaks_with_one_more_than_it_trims(trim):
    for count in range(2 * trim + 1, 2 * trim + 5):
        for bad in range(count):
            values = gaussian(count)
            values[:bad] = HUGE
            broken = TrimmedMean(trim)(values).max().item() > HUGE / (4 * count)
            assert broken == (bad > trim)


@pytest.mark.parametrize("byzantine", [1, 2, 3])
def test_krum_breaks_when_colluders_are_company_for_each_other(byzantine):
    count = 2 * byzantine + 3
    for bad in range(count):
        values = gaussian(count)
        values[:bad] = HUGE
        broken = Krum(byzantine)(values).max().item() > HUGE / 2
        # A point needs n - f - 2 others beside it to have a score of nought.
        assert broken == (bad >= count - byzantine - 1)
        if bad <= byzantine:
            several = Krum(byzantine, chosen=count - byzantine - 2)(values)
            assert several.max().item() < HUGE / 2


def test_the_mean_breaks_with_one():
    values = gaussian(9)
    values[0] = HUGE
    assert values.mean(dim=0).max() > HUGE / 18


def test_multi_krum_of_one_is_krum_and_without_faults_krum_of_all_but_two_is_near_the_mean():
    values = gaussian(9)
    assert torch.equal(Krum(2)(values), Krum(2, chosen=1)(values))
    taken = Krum(0, chosen=7)(values)
    assert (taken - values.mean(dim=0)).norm() < diameter(values) / 2


def test_overflow_of_the_middle_two_is_no_infinity():
    assert torch.isfinite(CoordinateMedian()(torch.full((2, 1), 3e38))).all()


def step(rule, gradients):
    params = torch.zeros(4)
    state = rule.init(params, Layout(("x",), ((4,),), torch.float32))
    for version in range(3):
        rule.apply(params, state, gradients, version=version)
    return params


def sent(values, samples=1):
    return [Gradient(worker=i, tau=0, samples=samples, values=v) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    "inner",
    [rules.SGD(lr=0.1), rules.Momentum(lr=0.1), rules.DynamicMomentum(lr=0.1), rules.adam(lr=0.1)],
    ids=str,
)
def test_a_rule_steps_as_if_the_robust_mean_were_the_only_gradient(inner):
    values = gaussian(5)
    median = CoordinateMedian()(values)
    assert torch.equal(step(rules.Robust(inner), sent(values)), step(inner, sent([median], 5)))


def test_an_attack_that_ruins_the_mean_leaves_the_robust_run_near_its_optimum():
    from small_byzantine import attacked

    ruined = attacked(rules.SGD(lr=0.1))
    assert ruined > 100.0
    for aggregate in (CoordinateMedian(), TrimmedMean(1), Krum(1), Krum(1, chosen=2)):
        assert attacked(rules.Robust(rules.SGD(lr=0.1), aggregate)) < 0.1


def setup(rule, policy, workers=5):
    return Setup(
        task=quadratic(),
        rule=rule,
        policy=policy,
        workers=workers,
        until=Until(updates=1),
        delays=Equal(),
    )


def test_a_policy_whose_steps_are_too_small_is_refused():
    robust = rules.Robust(rules.SGD(lr=0.1), Krum(1))
    setup(robust, policies.Synchronous())
    setup(robust, policies.KBatchAsync(5))
    for policy in (policies.Asynchronous(), policies.BackupWorkers(1), policies.KSync(4)):
        with pytest.raises(ValueError, match="Expected steps of at least 5 gradients"):
            setup(rules.Clipped(robust), policy)


@pytest.mark.parametrize(
    "rule",
    [
        rules.DelayCompensated(rules.SGD(lr=0.1)),
        rules.Ringleader(workers=5),
        rules.WorkerMomenta(lr=0.1),
        rules.Clipped(rules.WorkerMomenta(lr=0.1)),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_a_rule_that_follows_each_worker_is_refused(rule):
    with pytest.raises(ValueError, match="Expected a rule that takes the mean"):
        rules.Robust(rule)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Krum(-1),
        lambda: Krum(1, chosen=0),
        lambda: TrimmedMean(-1),
        lambda: TrimmedMean(0.5),
    ],
)
def test_counts_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="give a whole number"):
        make()


@pytest.mark.parametrize("aggregate", AGGREGATIONS, ids=str)
def test_what_is_elementwise_says_so_and_no_other_is_cut_into_slices(aggregate):
    values = gaussian(9, size=6)
    slices = torch.cat([aggregate(part) for part in values.split(2, dim=1)])
    assert torch.equal(slices, aggregate(values)) == aggregate.elementwise
    assert rules.Robust(rules.SGD(lr=0.1), aggregate).elementwise == aggregate.elementwise
    # Each slice would clip the robust mean of itself by a length of its own.
    assert not rules.Robust(rules.Clipped(rules.SGD(lr=0.1)), aggregate).elementwise
