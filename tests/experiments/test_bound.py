"""The experiment `bound`: its problems, its errors, what it measures, what it makes of it."""

import itertools
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from lagrad.experiments import _bound_problems as problems
from lagrad.experiments._bound_errors import ADVERSARIES, LAWS, Problem, descend
from lagrad.experiments._bound_quorum import measure, quorum_error
from lagrad.experiments._bound_verdicts import verdicts
from lagrad.experiments._softmax import minimise
from lagrad.experiments.bound import EXPERIMENT


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class TestProblems:
    @pytest.mark.parametrize(
        "name", ["sphere", "quadratic, condition 1", "quadratic, condition 10"]
    )
    def test_gradients_are_unbiased_and_bounded_as_said(self, name):
        problem = problems.PROBLEMS[name]()
        w = torch.zeros(1, 4000, problems.DIMENSION, dtype=torch.float64)
        w[..., 3] = problem.radius
        gradient = problem.draw(w, generator())[0]
        top = 1.0 if name == "sphere" else float(name.split()[-1])
        curvature = np.logspace(0, math.log10(top), problems.DIMENSION)
        spread = gradient.std(0) / math.sqrt(4000)
        off = gradient.mean(0) - torch.tensor(curvature) * w[0, 0]
        assert (off.abs() <= 5 * spread + 1e-12).all()
        # At the edge it is M^2 itself, where all curvatures are one.
        assert gradient.square().sum(1).mean() <= 1.05 * problem.gradient_bound**2

    def test_the_minimiser_has_no_gradient_and_the_minibatches_are_differentiated(
        self, monkeypatch
    ):
        inputs = torch.randn(60, 5, generator=generator(), dtype=torch.float64)
        labels = torch.arange(60) % 10
        w = minimise(inputs, labels, 0.1).requires_grad_()
        (cross_entropy(inputs @ w, labels) + 0.05 * w.square().sum()).backward()
        assert w.grad.norm() < 1e-6
        monkeypatch.setattr(problems, "BATCH", 4)
        points = torch.randn(2, 3, 50, generator=generator(), dtype=torch.float64)
        targets = torch.nn.functional.one_hot(labels, 10).double()
        found = problems._minibatches(inputs, targets, 0.1, points, generator(7))
        chosen = torch.randint(60, (3, 4), generator=generator(7))
        for law, seed in itertools.product(range(2), range(3)):
            v = points[law, seed].view(5, 10).clone().requires_grad_()
            some = chosen[seed]
            (cross_entropy(inputs[some] @ v, labels[some]) + 0.05 * v.square().sum()).backward()
            torch.testing.assert_close(found[law, seed], v.grad.flatten())


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_a_step_is_off_by_as_much_as_its_law_allows(adversary):
    # Without noise or walls: w_2 = w_1 - (gradient + error).
    start = torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)
    problem = Problem(
        lambda w, _: 0.5 * w, start, torch.zeros(3, dtype=torch.float64), 1.0, 1e9, 1.5
    )
    rows = pd.DataFrame(descend(problem, adversary=adversary, steps=2, seeds=2, points=3))
    reached = rows[rows.k == 2].squared_distance.to_numpy() ** 0.5
    errors = np.array([1.5 * law(1) for law in LAWS])
    if adversary == "random":
        assert (abs(reached - 1.5) <= errors + 1e-12).all()
    else:
        np.testing.assert_allclose(reached, 1.5 + errors)


class TestQuorums:
    @pytest.mark.parametrize("quorum", [1, 3, 8])
    def test_the_formula_is_the_mean_over_all_choices(self, quorum):
        gradients = np.random.default_rng(0).normal(1.0, 2.0, size=(8, 5))
        whole = gradients.mean(0)
        squares = [
            ((gradients[list(chosen)].mean(0) - whole) ** 2).sum()
            for chosen in itertools.combinations(range(8), quorum)
        ]
        noise = ((gradients - whole) ** 2).sum(1).mean()
        assert math.sqrt(np.mean(squares) / noise) == pytest.approx(quorum_error(8, quorum))

    def test_all_of_all_are_without_error_and_late_ones_are_stale(self):
        common = {"run": "softmax", "updates": 12, "every": 1, "seed": 0}
        fresh = pd.DataFrame(measure(gradients="fresh", driver=2, **common))
        assert (fresh[fresh.quorum == 8].eps < 1e-5).all()
        assert (fresh[fresh.quorum < 8].eps > 1e-3).all()
        assert (fresh.tau == 0).all()
        stale = pd.DataFrame(measure(gradients="stale", driver=2, **common))
        assert (stale.quorum == 2).all()
        assert stale.tau.max() > 0
        # The first step is the same: nothing is stale yet.
        first = fresh[(fresh.quorum == 2) & (fresh.k == 1)].eps.item()
        assert stale.eps.iloc[0] == pytest.approx(first)


@cache
def small_tables():
    distances = [
        {"problem": "sphere", "adversary": adversary, "steps": 1500, "seeds": 4, **row}
        for adversary in ("random", "greedy")
        for row in descend(problems.sphere(), adversary=adversary, steps=1500, seeds=4)
    ]
    quorums = [
        {
            "run": "softmax",
            "gradients": "fresh",
            "driver": quorum,
            "quorum": quorum,
            "k": k,
            "eps": 0.1 * k**0.4,
            "foretold": 0.11 * k**0.4,
        }
        for quorum in (2, 4)
        for k in (1, 4, 16, 64)
    ]
    return {"distances": pd.DataFrame(distances), "quorums": pd.DataFrame(quorums)}


def judge(change=lambda distances, quorums: None):
    tables = {name: table.copy() for name, table in small_tables().items()}
    change(tables["distances"], tables["quorums"])
    return [verdict.holds for verdict in verdicts(tables)]


def test_the_verdicts_follow_the_tables():
    assert judge() == [True, True, True, True, True, False, True, False]

    def spoil(distances, quorums):
        distances["squared_distance"] *= distances.k**0.5 / 2
        quorums["eps"] = 2 / quorums.k

    assert judge(spoil) == [False, False, False, False, False, False, False, True]

    def flatter(distances, quorums):
        distances["note"] = distances["sharp"]

    assert judge(flatter)[5] is True


def test_figures_are_drawn_from_the_tables_alone(tmp_path):
    draw = EXPERIMENT.figures["bound-worst-case"]
    assert draw(small_tables(), tmp_path / "worst.png").stat().st_size > 10_000


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("study", EXPERIMENT.studies, ids=lambda study: study.name)
def test_no_two_cells_are_the_same(study, quick):
    cells = [tuple(cell.items()) for cell in study.cells(quick, {})]
    assert len(set(cells)) == len(cells)
