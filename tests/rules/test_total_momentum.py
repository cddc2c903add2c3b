"""The momentum that a run shows, measured from its steps and from gradients that come late."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lagrad.rules._total_momentum import TotalMomentum

SPECTRUM = torch.tensor([0.1, 0.4, 1.0], dtype=torch.float64)
LR = 0.3


def heavy_ball(beta, steps):
    """Parameters before each of the steps, and after the last."""
    x, v = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    points = [x]
    for _ in range(steps):
        v = beta * v + SPECTRUM * x
        x = x - LR * v
        points.append(x)
    return points


@given(beta=st.floats(-0.9, 0.9), late=st.integers(0, 4))
def test_of_heavy_ball_it_is_its_momentum_however_late_the_gradients(beta, late):
    points = heavy_ball(beta, 12)
    total = TotalMomentum(horizon=7)
    found = []
    for version, now in enumerate(points[1:]):
        total.remember(points[version], LR)
        at = version - late
        if at >= 0:
            found.append(total.measured(SPECTRUM * points[at], at=at, now=now))
    assert found[0] is None  # before the first step nothing has moved
    assert found[1:] == pytest.approx([beta] * (len(found) - 1), abs=1e-6)


def test_what_is_older_than_the_horizon_is_not_measured():
    points = heavy_ball(0.5, 9)
    total = TotalMomentum(horizon=4)
    for point in points[:-1]:
        total.remember(point, LR)
    assert total.measured(SPECTRUM * points[5], at=5, now=points[-1]) is None
    assert total.measured(SPECTRUM * points[6], at=6, now=points[-1]) is not None
