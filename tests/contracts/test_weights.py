"""Contract: w(0) = 1, in [0, 1], non-increasing; and each formula at points worked out by hand."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases_values import WEIGHTS
from lagrad import weights
from lagrad.core import Weight

AGES = st.integers(0, 10**9)


def test_every_exported_weight_has_a_case():
    assert {type(weight).__name__ for weight in WEIGHTS} == set(weights.__all__)


@pytest.mark.parametrize("weight", WEIGHTS, ids=repr)
class TestContract:
    def test_is_exactly_one_at_zero(self, weight: Weight):
        assert weight(0) == 1.0
        assert type(weight(0)) is float
        assert type(weight(7)) is float

    @given(k=AGES)
    def test_lies_between_zero_and_one(self, weight: Weight, k: int):
        assert 0.0 <= weight(k) <= 1.0

    @given(k=st.one_of(st.integers(0, 50), AGES), more=st.one_of(st.just(1), AGES))
    def test_does_not_increase(self, weight: Weight, k: int, more: int):
        assert weight(k + more) <= weight(k)

    def test_refuses_the_future(self, weight: Weight):
        with pytest.raises(ValueError, match="-3"):
            weight(-3)

    def test_pickles_prints_and_compares_as_its_configuration(self, weight: Weight):
        again = pickle.loads(pickle.dumps(weight))
        assert again == weight
        assert hash(again) == hash(weight)
        assert eval(repr(weight), vars(weights)) == weight


@pytest.mark.parametrize(
    ("weight", "k", "expected"),
    [
        (weights.Constant(), 10**6, 1.0),
        (weights.CutOff(), 1, 0.0),
        (weights.CutOff(last=3), 3, 1.0),
        (weights.CutOff(last=3), 4, 0.0),
        (weights.Exponential(), 2, 1 / math.e),
        (weights.Exponential(rate=1.0), 3, math.exp(-3)),
        (weights.Exponential(rate=1.0), 10**6, 0.0),
        (weights.Geometric(), 2, 0.81),
        (weights.Geometric(ratio=1 / 8), 1, 1 / 8),
        (weights.Geometric(ratio=1 / 8), 2, 1 / 64),
        (weights.Geometric(ratio=0), 1, 0.0),
        (weights.Hinge(), 4, 1.0),
        (weights.Hinge(), 5, 1 / 11),
        (weights.Hinge(), 14, 1 / 101),
        (weights.Inverse(), 3, 1 / 4),
        (weights.Inverse(scale=8.0), 7, 1.0),
        (weights.Inverse(scale=8.0), 31, 1 / 4),
        (weights.Polynomial(), 3, 1 / 2),
        (weights.Polynomial(power=2.0), 3, 1 / 16),
    ],
    ids=repr,
)
def test_the_formula(weight: Weight, k: int, expected: float):
    assert weight(k) == pytest.approx(expected, rel=1e-14)


@given(n=st.integers(1, 1000), k=st.integers(0, 100))
def test_geometric_of_one_over_n_is_the_power_of_n(n: int, k: int):
    assert weights.Geometric(ratio=1 / n)(k) == pytest.approx(float(n) ** -k, rel=1e-12)


@given(rate=st.floats(0, 5), k=st.integers(0, 100))
def test_exponential_and_geometric_are_one_family(rate: float, k: int):
    same = weights.Geometric(ratio=math.exp(-rate))
    assert weights.Exponential(rate)(k) == pytest.approx(same(k), rel=1e-12, abs=1e-300)


@given(scale=st.integers(1, 100), k=st.integers(0, 1000))
def test_inverse_is_the_delay_adaptive_step_of_a_tau_that_counts_itself(scale: int, k: int):
    tau = k + 1
    assert weights.Inverse(scale)(k) == min(1.0, scale / tau)


@pytest.mark.parametrize(
    ("make", "bad"),
    [
        (weights.Exponential, -0.5),
        (weights.Exponential, math.inf),
        (weights.Exponential, math.nan),
        (weights.Geometric, -0.1),
        (weights.Geometric, 1.1),
        (weights.Geometric, math.nan),
        (weights.Polynomial, -1.0),
        (weights.Polynomial, math.inf),
        (lambda bad: weights.Hinge(slope=bad), -10.0),
        (lambda bad: weights.Hinge(slope=bad), math.nan),
        (lambda bad: weights.Hinge(start=bad), -1),
        (weights.Inverse, 0.0),
        (weights.Inverse, math.inf),
        (weights.Inverse, math.nan),
        (weights.CutOff, -2),
    ],
)
def test_bad_arguments_are_named(make, bad):
    with pytest.raises(ValueError, match=rf"Expected .* got {bad}"):
        make(bad)
