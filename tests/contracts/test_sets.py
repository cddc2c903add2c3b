"""Contract: the exact Euclidean projection, in place, after which nothing is left to do."""

import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from cases_values import SETS
from lagrad import sets
from lagrad.sets import Ball, Box, ConvexSet, NonNegative, Simplex

POINTS = st.lists(st.floats(-100, 100), min_size=1, max_size=8)
FLOAT64 = {"rtol": 1e-12, "atol": 1e-12}


def projected(onto: ConvexSet, values, dtype=torch.float64) -> torch.Tensor:
    x = torch.tensor(values, dtype=dtype)
    onto.project(x)
    return x


def distance_to(onto: ConvexSet, x: np.ndarray) -> float:
    """How far `x` is outside, in any sense that is 0 for members alone."""
    match onto:
        case Ball(radius, center):
            return max(0.0, float(np.linalg.norm(x - center)) - radius)
        case Box(low, high):
            return float(np.max(np.maximum(low - x, x - high).clip(min=0.0)))
        case NonNegative():
            return float(np.max((-x).clip(min=0.0)))
        case Simplex(total):
            return max(abs(float(x.sum()) - total), float(np.max((-x).clip(min=0.0))))
    raise AssertionError(f"No membership test for {onto}; add one here.")


def members(onto: ConvexSet, size: int, random: np.random.Generator) -> np.ndarray:
    """Random members [100, size], corners and edges among them; no projection is used."""
    match onto:
        case Ball(radius, center):
            directions = random.normal(size=(100, size))
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            return center + radius * directions * random.random((100, 1)) ** 0.1
        case Box(low, high):
            low, high = max(low, -50.0), min(high, 50.0)
            return (low + (high - low) * 1.5 * random.random((100, size))).clip(low, high)
        case NonNegative():
            return random.normal(scale=30.0, size=(100, size)).clip(min=0.0)
        case Simplex(total):
            corners = total * np.eye(size)
            return np.concatenate([corners, total * random.dirichlet(np.full(size, 0.5), 100)])
    raise AssertionError(f"No members of {onto}; add some here.")


def test_every_exported_set_has_a_case():
    assert {type(onto).__name__ for onto in SETS} == set(sets.__all__) - {"ConvexSet"}


@pytest.mark.parametrize("onto", SETS, ids=repr)
class TestContract:
    @given(values=POINTS)
    def test_ends_in_the_set(self, onto: ConvexSet, values: list[float]):
        assert distance_to(onto, projected(onto, values).numpy()) < 1e-10

    @given(values=POINTS, seed=st.integers(0, 2**32))
    def test_no_member_is_nearer(self, onto: ConvexSet, values: list[float], seed: int):
        # The variational inequality <x - P(x), z - P(x)> <= 0 for all members z says just that.
        x, nearest = np.array(values), projected(onto, values).numpy()
        others = members(onto, len(values), np.random.default_rng(seed))
        assert ((others - nearest) @ (x - nearest)).max() <= 1e-9 * (1.0 + np.abs(x).max())

    @given(values=POINTS)
    def test_once_is_enough(self, onto: ConvexSet, values: list[float]):
        once = projected(onto, values)
        again = once.clone()
        onto.project(again)
        torch.testing.assert_close(again, once, **FLOAT64)

    @given(values=POINTS)
    def test_members_stay_as_they_are(self, onto: ConvexSet, values: list[float]):
        x = members(onto, len(values), np.random.default_rng(0))[0]
        torch.testing.assert_close(projected(onto, x), torch.tensor(x), **FLOAT64)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_works_in_place_also_on_a_slice(self, onto: ConvexSet, dtype: torch.dtype):
        whole = torch.tensor([7.0, 3.0, -4.0, 0.5, 7.0], dtype=dtype)
        x, address = whole[1:4], whole.data_ptr()
        assert onto.project(x) is None
        assert whole.data_ptr() == address
        assert x.dtype == dtype
        assert whole[[0, 4]].tolist() == [7.0, 7.0]
        expected = projected(onto, [3.0, -4.0, 0.5]).to(dtype)
        assert not torch.equal(expected, torch.tensor([3.0, -4.0, 0.5], dtype=dtype))
        torch.testing.assert_close(x, expected, rtol=1e-6, atol=1e-6)

    def test_pickles_prints_and_compares_as_its_configuration(self, onto: ConvexSet):
        again = pickle.loads(pickle.dumps(onto))
        assert again == onto
        assert hash(again) == hash(onto)
        assert eval(repr(onto), {**vars(sets), "inf": math.inf}) == onto


@pytest.mark.parametrize("values", [[2.0, -1.0, 0.3, 0.4], [0.1, 0.1, 0.1, 0.2], [5.0, 5.0, 4.9]])
def test_the_simplex_against_a_solver(values: list[float]):
    target = np.array(values)
    found = minimize(
        lambda x: ((x - target) ** 2).sum(),
        x0=np.full(len(values), 1.0 / len(values)),
        jac=lambda x: 2 * (x - target),
        bounds=[(0.0, None)] * len(values),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-15},
    )
    assert projected(Simplex(), values).numpy() == pytest.approx(found.x, abs=1e-6)


@given(values=st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_the_simplex_against_all_supports(values: list[float]):
    # On a support the projection is a shift; the nearest feasible one over all supports is exact.
    target, candidates = np.array(values), []
    for chosen in itertools.product([False, True], repeat=len(values)):
        support = np.array(chosen)
        if support.any():
            shift = (target[support].sum() - 1.0) / support.sum()
            candidate = np.where(support, target - shift, 0.0)
            if candidate.min() >= 0:
                candidates.append(candidate)
    nearest = min(candidates, key=lambda candidate: ((candidate - target) ** 2).sum())
    assert projected(Simplex(), values).numpy() == pytest.approx(nearest, abs=1e-9)


def test_the_simplex_among_coordinates_that_would_swallow_its_total():
    assert projected(Simplex(), [1e20, 1e20, 0.0]).tolist() == [0.5, 0.5, 0.0]
    assert projected(Simplex(), [1e20, -1e20], torch.float32).tolist() == [1.0, 0.0]


def test_the_simplex_of_many_coordinates_in_float32():
    x = torch.randn(300_000, generator=torch.Generator().manual_seed(0))
    Simplex(total=100.0).project(x)
    assert x.min() >= 0
    assert x.double().sum().item() == pytest.approx(100.0, rel=1e-5)


def test_the_ball_where_squares_leave_the_range_of_float32():
    for scale in (1e30, 1e-30):
        x = projected(Ball(radius=scale), [3 * scale, 4 * scale], torch.float32)
        assert x.tolist() == pytest.approx([0.6 * scale, 0.8 * scale], rel=1e-6)


def test_the_ball_leaves_members_bit_for_bit():
    x = [0.1 + 0.2, -1 / 3, 0.7]
    assert projected(Ball(radius=2.0, center=0.3), x).tolist() == x


@pytest.mark.parametrize(
    ("make", "bad"),
    [
        (Ball, -1.0),
        (Ball, math.nan),
        (Ball, math.inf),
        (lambda bad: Ball(1.0, center=bad), math.inf),
        (lambda bad: Ball(1.0, center=bad), math.nan),
        (lambda bad: Box(bad, 1.0), 2.0),
        (lambda bad: Box(bad, 1.0), math.nan),
        (lambda bad: Box(0.0, bad), -1.0),
        (lambda bad: Box(0.0, bad), math.nan),
        (lambda bad: Box(bad, bad), math.inf),
        (lambda bad: Box(bad, bad), -math.inf),
        (Simplex, 0.0),
        (Simplex, -1.0),
        (Simplex, math.nan),
        (Simplex, math.inf),
    ],
)
def test_bad_arguments_are_named(make, bad):
    with pytest.raises(ValueError, match=rf"Expected .* got .*{bad}"):
        make(bad)
