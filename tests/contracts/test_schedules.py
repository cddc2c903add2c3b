"""Contract: finite rates >= 0, a pure function of the version; and each formula by hand."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases_values import SCHEDULES
from lagrad import schedules
from lagrad.schedules import Constant, Cosine, InverseTime, Schedule, Step, Warmup, as_schedule


def test_every_exported_schedule_has_a_case():
    classes = set(schedules.__all__) - {"Schedule", "as_schedule"}
    assert {type(schedule).__name__ for schedule in SCHEDULES} == classes


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
class TestContract:
    @given(version=st.one_of(st.integers(0, 100), st.integers(0, 10**9)))
    def test_rates_are_finite_and_not_negative(self, schedule: Schedule, version: int):
        assert 0.0 <= schedule(version) < math.inf
        assert schedule(version) == schedule(version)

    def test_pickles_prints_and_compares_as_its_configuration(self, schedule: Schedule):
        again = pickle.loads(pickle.dumps(schedule))
        assert again == schedule
        assert hash(again) == hash(schedule)
        assert eval(repr(schedule), vars(schedules)) == schedule

    def test_a_schedule_is_its_own_schedule(self, schedule: Schedule):
        assert as_schedule(schedule) is schedule


@pytest.mark.parametrize(
    ("schedule", "version", "expected"),
    [
        (Constant(0.1), 10**6, 0.1),
        (InverseTime(0.5), 0, 2.0),
        (InverseTime(0.5), 9, 0.2),
        (Step(0.1, at=(20, 60)), 0, 0.1),
        (Step(0.1, at=(20, 60)), 19, 0.1),
        (Step(0.1, at=(20, 60)), 20, 0.01),
        (Step(0.1, at=(20, 60)), 59, 0.01),
        (Step(0.1, at=(20, 60)), 60, 0.001),
        (Step(0.1, at=(0,), factor=0.0), 0, 0.0),
        (Cosine(0.4, updates=100), 0, 0.4),
        (Cosine(0.4, updates=100), 50, 0.2),
        (Cosine(0.4, updates=100), 25, 0.2 * (1 + math.sqrt(0.5))),
        (Cosine(0.4, updates=100, floor=0.1), 50, 0.25),
        (Warmup(Constant(0.8), updates=4), 0, 0.2),
        (Warmup(Constant(0.8), updates=4), 2, 0.6),
        (Warmup(Constant(0.8), updates=4), 3, 0.8),
        (Warmup(Constant(0.8), updates=4), 4, 0.8),
        (Warmup(Constant(0.8), updates=1), 0, 0.8),
        (Warmup(InverseTime(1.0), updates=4), 1, 0.25),
    ],
    ids=repr,
)
def test_the_formula(schedule: Schedule, version: int, expected: float):
    assert schedule(version) == pytest.approx(expected, rel=1e-12)


def test_the_cosine_falls_all_the_way_and_ends_exactly_at_its_floor():
    rates = [Cosine(lr=0.4, updates=30, floor=0.1)(version) for version in range(40)]
    assert rates[:31] == sorted(rates[:31], reverse=True)
    assert len(set(rates[:31])) == 31
    assert set(rates[30:]) == {0.1}


def test_versions_in_a_list_become_a_tuple():
    assert Step(0.1, at=[3, 5]) == Step(0.1, at=(3, 5))


@given(lr=st.floats(0, 1e6))
def test_a_number_becomes_a_constant_schedule(lr: float):
    assert as_schedule(lr) == Constant(lr)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, "quick", None])
def test_as_schedule_refuses_what_is_no_rate(bad):
    with pytest.raises(ValueError, match=str(bad)):
        as_schedule(bad)


@pytest.mark.parametrize(
    ("make", "bad"),
    [
        (Constant, -0.1),
        (Constant, math.nan),
        (Constant, math.inf),
        (InverseTime, 0.0),
        (InverseTime, -1.0),
        (InverseTime, math.nan),
        (InverseTime, math.inf),
        (InverseTime, 5e-324),
        (lambda bad: Step(bad, at=(1,)), -0.1),
        (lambda bad: Step(0.1, at=(1,), factor=bad), 1.5),
        (lambda bad: Step(0.1, at=(1,), factor=bad), math.nan),
        (lambda bad: Step(0.1, at=bad), 100),
        (lambda bad: Step(0.1, at=bad), (60, 20)),
        (lambda bad: Step(0.1, at=bad), (20, 20)),
        (lambda bad: Step(0.1, at=bad), (-1, 20)),
        (lambda bad: Cosine(bad, updates=10), -0.1),
        (lambda bad: Cosine(0.1, updates=bad), 0),
        (lambda bad: Cosine(0.1, updates=10, floor=bad), 0.2),
        (lambda bad: Cosine(0.1, updates=10, floor=bad), -0.2),
        (lambda bad: Warmup(Constant(0.1), updates=bad), 0),
        (lambda bad: Warmup(bad, updates=10), 0.1),
    ],
)
def test_bad_arguments_are_named(make, bad):
    with pytest.raises(ValueError, match="Expected") as caught:
        make(bad)
    assert f"got {bad}" in str(caught.value)
