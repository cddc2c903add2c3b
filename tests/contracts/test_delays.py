"""Contract: deterministic endless streams, one per worker and seed; and the published figures."""

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cases_values import DELAYS
from lagrad import delays
from lagrad.delays import (
    Bursts,
    Delays,
    Equal,
    Factors,
    Gamma,
    HeterogeneousGamma,
    Pareto,
    Recorded,
    Sampled,
    ShiftedExponential,
    Stragglers,
)

SAMPLE = 40_000
DETERMINISTIC = Equal, Recorded


def first(model: Delays, count: int, *, worker: int = 0, seed: int = 0) -> list[float]:
    return list(itertools.islice(model.stream(worker, seed), count))


def sample(model: Delays, *, worker: int = 0, seed: int = 0) -> np.ndarray:
    return np.array(first(model, SAMPLE, worker=worker, seed=seed))


def is_random(model: Delays) -> bool:
    return not isinstance(model, DETERMINISTIC) and (
        not isinstance(model, Factors) or is_random(model.base)
    )


def test_every_exported_model_has_a_case():
    assert {type(model).__name__ for model in DELAYS} == set(delays.__all__) - {"Delays"}


@pytest.mark.parametrize("model", DELAYS, ids=repr)
class TestContract:
    def test_is_a_model(self, model: Delays):
        assert isinstance(model, Delays)

    def test_equal_arguments_give_equal_streams_and_the_state_of_numpy_has_no_say(
        self, model: Delays
    ):
        np.random.seed(1)
        before = first(model, 600, worker=1, seed=7)
        np.random.seed(2)
        interleaved, other = model.stream(1, 7), model.stream(0, 7)
        after = [(next(interleaved), next(other))[0] for _ in range(600)]
        assert after == before

    def test_how_many_are_drawn_at_a_time_has_no_say(
        self, model: Delays, monkeypatch: pytest.MonkeyPatch
    ):
        before = first(model, 700)
        monkeypatch.setattr("lagrad.delays._draws.BLOCK", 8)
        assert first(model, 700) == before

    def test_workers_and_seeds_differ_where_there_is_chance(self, model: Delays):
        # Over some thousand jobs, for bursts are rare.
        streams = {
            tuple(first(model, 3000, worker=worker, seed=seed))
            for worker in (2, 3)
            for seed in (0, 1, 2)
        }
        if is_random(model):
            assert len(streams) == 6
        else:
            assert len(streams) <= 2

    @given(worker=st.integers(0, 3), seed=st.integers(0, 2**63))
    def test_durations_are_positive_finite_floats(self, model: Delays, worker: int, seed: int):
        durations = first(model, 300, worker=worker, seed=seed)
        assert len(durations) == 300
        assert all(type(duration) is float for duration in durations)
        assert all(0 < duration < math.inf for duration in durations)

    def test_pickles_prints_and_compares_as_its_configuration(self, model: Delays):
        again = pickle.loads(pickle.dumps(model))
        assert again == model
        assert hash(again) == hash(model)
        assert first(again, 300) == first(model, 300)
        if not isinstance(model, Sampled):  # it prints without quotes
            assert eval(repr(model), vars(delays)) == model

    def test_workers_and_seeds_are_counted_from_zero(self, model: Delays):
        for worker, seed in ((-1, 0), (0, -1)):
            with pytest.raises(ValueError, match=r"got .*-1"):
                next(model.stream(worker, seed))

    def test_has_no_fixed_length(self, model: Delays):
        assert sum(1 for _ in itertools.islice(model.stream(0, 0), 2000)) == 2000


# Mean and standard deviation of one job; the mean of a sample lies within 4.5 standard errors.
@pytest.mark.parametrize(
    ("model", "mean", "deviation"),
    [
        (Equal(), 1.0, 0.0),
        (Gamma(), 1.0, 0.1),
        (Gamma(shape=4.0), 1.0, 0.5),
        (ShiftedExponential(), 2.0, 1.0),
        (ShiftedExponential(shift=0.0), 1.0, 1.0),
        (ShiftedExponential(shift=0.5, mean=3.0), 3.5, 3.0),
        (Pareto(shape=6.0), 6 / 5, math.sqrt(6 / (25 * 4))),
        (Pareto(shape=6.0, minimum=2.0), 12 / 5, 2 * math.sqrt(6 / (25 * 4))),
        (Bursts(base=Equal()), 1.45, 9 * math.sqrt(0.05 * 0.95)),
        (Sampled("lognorm(0.5, scale=2)"), 2 * math.exp(0.125), 2 * stats.lognorm(0.5).std()),
        (Sampled(stats.gamma(100, scale=0.01)), 1.0, 0.1),
    ],
    ids=repr,
)
def test_the_mean_and_the_spread(model: Delays, mean: float, deviation: float):
    durations = sample(model)
    assert abs(durations.mean() - mean) <= 4.5 * deviation / math.sqrt(SAMPLE) + 1e-12
    assert durations.std() == pytest.approx(deviation, rel=0.08)


@pytest.mark.parametrize(
    ("model", "distribution"),
    [
        (Gamma(), stats.gamma(100, scale=0.01)),
        (ShiftedExponential(shift=1.0, mean=2.0), stats.expon(loc=1.0, scale=2.0)),
        (Pareto(shape=2.0, minimum=3.0), stats.pareto(2.0, scale=3.0)),
        (Sampled("weibull_min(1.5, loc=1)"), stats.weibull_min(1.5, loc=1)),
    ],
    ids=repr,
)
def test_the_whole_distribution(model: Delays, distribution):
    assert stats.kstest(sample(model), distribution.cdf).pvalue > 1e-3


def test_the_published_tail_of_the_homogeneous_model():
    assert stats.gamma(100, scale=0.01).sf(1.25) == pytest.approx(0.0094, abs=5e-5)
    share = np.concatenate([sample(Gamma(), worker=worker) for worker in range(5)]) > 1.25
    assert share.mean() == pytest.approx(0.0094, abs=4 * math.sqrt(0.0094 / (5 * SAMPLE)))


def test_the_published_tail_of_the_heterogeneous_model():
    # 4000 machines: the standard error is that of their means, sqrt(0.28 * 0.72 / 4000) = 0.7 %.
    jobs = np.array([first(HeterogeneousGamma(), 20, worker=worker) for worker in range(4000)])
    assert (jobs > 1.25).mean() == pytest.approx(0.281, abs=0.02)
    assert jobs.mean() == pytest.approx(1.0, abs=4 * 0.6 / math.sqrt(4000))
    assert jobs.mean(axis=1).std() == pytest.approx(0.6, rel=0.1)
    assert (jobs.std(axis=1, ddof=1) / jobs.mean(axis=1)).mean() == pytest.approx(0.1, rel=0.05)


def test_two_of_eight_are_six_times_slower():
    for worker in range(8):
        base, slowed = (
            first(model, 50, worker=worker) for model in (Gamma(), Stragglers(base=Gamma()))
        )
        assert slowed == [(6.0 if worker < 2 else 1.0) * duration for duration in base]


@given(
    workers=st.lists(st.integers(0, 5), unique=True).map(tuple),
    factor=st.floats(0.1, 100),
    worker=st.integers(0, 5),
)
def test_stragglers_are_factors_that_are_equal(
    workers: tuple[int, ...], factor: float, worker: int
):
    stragglers = Stragglers(workers=workers, factor=factor)
    factors = Factors(tuple((worker, factor) for worker in workers), base=Gamma())
    assert first(stragglers, 20, worker=worker) == first(factors, 20, worker=worker)


def test_each_worker_has_its_own_factor():
    model = Factors(factors=((0, 6.0), (2, 0.5)))
    assert [first(model, 2, worker=worker) for worker in range(4)] == [
        [6.0, 6.0],
        [1.0, 1.0],
        [0.5, 0.5],
        [1.0, 1.0],
    ]


def test_bursts_strike_jobs_as_often_as_they_should_and_leave_the_others():
    base, struck = first(Gamma(), SAMPLE), first(Bursts(probability=0.1, factor=5.0), SAMPLE)
    factors = np.array(struck) / np.array(base)
    assert set(factors.round(12)) == {1.0, 5.0}
    assert (factors > 1).mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / SAMPLE))


def test_bursts_never_and_always():
    assert first(Bursts(probability=0.0), 600) == first(Gamma(), 600)
    assert first(Bursts(probability=1.0, base=Equal()), 3) == [10.0, 10.0, 10.0]


def test_bursts_of_bursts_are_independent():
    inner = Bursts(probability=0.5, factor=2.0, base=Equal())
    outer = sample(Bursts(probability=0.5, factor=3.0, base=Factors(((1, 9.0),), base=inner)))
    shares = [(outer == product).mean() for product in (1.0, 2.0, 3.0, 6.0)]
    assert shares == pytest.approx([0.25] * 4, abs=0.01)


def test_records_are_replayed_in_a_cycle_and_missing_ones_missed():
    model = Recorded(durations=((1.0, 2.0), (3.0,)))
    assert first(model, 5, worker=0) == [1.0, 2.0, 1.0, 2.0, 1.0]
    assert first(model, 2, worker=1) == [3.0, 3.0]
    with pytest.raises(ValueError, match=r"worker from 0 to 1, got 2"):
        model.stream(2, 0)


def test_lists_become_tuples():
    assert Recorded(durations=[[1.0], [2.0]]) == Recorded(durations=((1.0,), (2.0,)))
    assert Factors(factors=[[0, 6.0]]) == Factors(factors=((0, 6.0),))
    assert Stragglers(workers=[0, 1]) == Stragglers()


class TestSampled:
    @pytest.mark.parametrize(
        "same",
        [
            stats.gamma(100, scale=0.01),
            stats.gamma(a=100.0, loc=0, scale=0.01),
            stats.gamma(np.float64(100), 0.0, 0.01),
            "gamma(100, scale=0.01)",
            " gamma( a=1e2,scale = 0.01 )",
            "gamma(100, 0, 0.01)",
        ],
        ids=str,
    )
    def test_has_one_normal_form(self, same):
        model = Sampled(same)
        assert repr(model) == "Sampled(gamma(100, scale=0.01))"
        assert model == Sampled("gamma(100, scale=0.01)")
        assert first(model, 300) == first(Sampled(stats.gamma(100, scale=0.01)), 300)

    def test_other_arguments_make_another_model(self):
        assert Sampled("gamma(100)") != Sampled("gamma(101)")
        assert Sampled("expon") == Sampled(stats.expon()) != Sampled("expon(1)")

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            "gamma(",
            "gauss(1)",
            "poisson(3)",
            "stats.gamma(3)",
            "gamma",
            "gamma(1, 2, 3, 4)",
            "gamma(1, a=1)",
            "gamma(a=1, a=2)",
            "gamma({[]: 1})",
            "gamma(1, size=3)",
            "gamma('a')",
            "gamma(-1)",
            "gamma(1, scale=-1)",
            "gamma(1e999)",
            "gamma((1, 2))",
            "gamma(__import__('os').getpid())",
            "gamma(*[1])",
            "gamma(**{'a': 1})",
            "__import__('os')",
            "().__class__",
            "lambda: 1",
            "gamma(1); gamma(2)",
            f"gamma({'-' * 20_000}1)",
            3,
            None,
            stats.gamma,
            stats.poisson(3),
            stats.norm(np.zeros(2)),
        ],
        ids=lambda bad: str(bad)[:40],
    )
    def test_refuses_what_is_no_distribution(self, bad):
        with pytest.raises(ValueError, match="Expected"):
            Sampled(bad)

    def test_a_draw_below_zero_is_an_error_that_says_so(self):
        with pytest.raises(ValueError, match=r"finite and >= 0, got a draw of -.* from norm\(\)"):
            first(Sampled("norm"), 1)

    def test_a_draw_that_is_not_finite_is_an_error_that_says_so(self):
        with pytest.raises(ValueError, match="got a draw of inf"):
            first(Sampled("pareto(0.0001)"), 10_000)


@pytest.mark.parametrize(
    ("make", "bad"),
    [
        (Gamma, 0.0),
        (Gamma, -1.0),
        (Gamma, math.nan),
        (Gamma, math.inf),
        (lambda bad: HeterogeneousGamma(machine_variation=bad), 0.0),
        (lambda bad: HeterogeneousGamma(task_variation=bad), -0.1),
        (lambda bad: ShiftedExponential(shift=bad), -1.0),
        (lambda bad: ShiftedExponential(shift=bad), math.inf),
        (lambda bad: ShiftedExponential(mean=bad), 0.0),
        (Pareto, 0.0),
        (lambda bad: Pareto(minimum=bad), -1.0),
        (lambda bad: Stragglers(factor=bad), 0.0),
        (lambda bad: Stragglers(workers=(bad,)), -1),
        (lambda bad: Stragglers(workers=bad), (1, 1)),
        (lambda bad: Stragglers(base=bad), 3),
        (lambda bad: Factors(((0, bad),)), -6.0),
        (lambda bad: Factors(((0, bad),)), math.nan),
        (lambda bad: Factors(((bad, 2.0),)), -2),
        (lambda bad: Factors(((bad, 2.0), (bad, 3.0))), 4),
        (lambda bad: Factors((), base=bad), Equal),
        (lambda bad: Bursts(probability=bad), 1.5),
        (lambda bad: Bursts(probability=bad), math.nan),
        (lambda bad: Bursts(factor=bad), 0.0),
        (lambda bad: Bursts(base=bad), None),
        (lambda bad: Recorded(((1.0,), (2.0, bad))), 0.0),
        (lambda bad: Recorded(((1.0,), (2.0, bad))), math.inf),
        (lambda bad: Recorded(((1.0,), bad)), ()),
        (Recorded, ()),
        (lambda bad: Equal().stream(bad, 0), -1),
        (lambda bad: Gamma().stream(0, bad), -5),
    ],
)
def test_bad_arguments_are_named(make, bad):
    with pytest.raises(ValueError, match="Expected") as caught:
        make(bad)
    said = str(caught.value).split("got ", 1)[1]
    expected = "none" if make is Recorded else str(bad).removeprefix("(").removesuffix(")")
    assert expected in said
