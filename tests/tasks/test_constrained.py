"""Multipliers find the solution of Karush, Kuhn and Tucker, also with gradients that come late."""

import pytest
import torch
from torch import nn

from lagrad import Until, rules, runtimes, train
from lagrad.tasks import Stream, constrained


class Point(nn.Module):
    def __init__(self):
        super().__init__()
        self.x = nn.Parameter(torch.zeros(2, dtype=torch.float64))


def nothing() -> Stream:
    return Stream(lambda generator: None)


def objective(model, batch):
    del batch
    return (model.x[0] - 2) ** 2 + (model.x[1] - 1) ** 2


def below_the_parabola(model):
    return (model.x[0] ** 2 - model.x[1]).reshape(1)


def on_the_line(model):
    return (model.x.sum() - 2).reshape(1)


def far(model):
    return (model.x[0] - 100).reshape(1)


def solve(workers: int, **constraints):
    task = constrained(
        name="p", model=Point, objective=objective, data=nothing, penalty=1.0, **constraints
    )
    return train(
        task,
        rule=rules.SGD(lr=0.05),
        runtime=runtimes.Simulator(),
        delays="gamma",
        workers=workers,
        until=Until(updates=3000),
    )


@pytest.mark.parametrize("workers", [1, 4])
def test_both_kinds_of_constraints_with_their_multipliers(workers):
    # On the line, f falls towards x = 1.5, but only x <= 1 is on the right side of the parabola:
    # x = (1, 1), and grad f + lambda grad g + mu grad h = 0 gives lambda = mu = 2/3.
    found = solve(workers, inequalities=below_the_parabola, equalities=on_the_line)
    assert found.state_dict["model.x"].tolist() == pytest.approx([1.0, 1.0], abs=1e-6)
    assert found.state_dict["inequality"].item() == pytest.approx(2 / 3, abs=1e-5)
    assert found.state_dict["equality"].item() == pytest.approx(2 / 3, abs=1e-5)
    assert found.scores["violation"] < 1e-6
    assert (found.mean_staleness > 1) == (workers > 1)


def test_a_constraint_that_does_not_bind_changes_nothing():
    found = solve(4, inequalities=far)
    assert found.state_dict["model.x"].tolist() == pytest.approx([2.0, 1.0], abs=1e-9)
    assert found.state_dict["inequality"].item() == pytest.approx(0.0, abs=1e-9)
    assert found.scores["violation"] == 0.0


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan"), float("inf")])
def test_the_penalty_is_positive_and_finite(penalty):
    with pytest.raises(ValueError, match="penalty > 0"):
        constrained(
            name="p",
            model=Point,
            objective=objective,
            data=nothing,
            equalities=on_the_line,
            penalty=penalty,
        )


def test_without_constraints_it_is_refused():
    with pytest.raises(ValueError, match="got neither"):
        constrained(name="p", model=Point, objective=objective, data=nothing)


@pytest.mark.parametrize("values", [lambda model: model.x.sum(), lambda model: 0.0])
def test_constraints_are_a_vector(values):
    task = constrained(
        name="p", model=Point, objective=objective, data=nothing, inequalities=values
    )
    with pytest.raises(TypeError, match=r"a tensor \[m\]"):
        train(task, runtime=runtimes.Simulator(), until=Until(updates=1))
