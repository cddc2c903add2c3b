"""The experiment's own arithmetic, and figures and verdicts from small tables."""

import numpy as np
import pandas as pd
import pytest

from lagrad.experiments._optimal_dynamics import CONDITION, LIMITS, MAPS, OPTIMA
from lagrad.experiments._optimal_random import RANDOM, _exponents
from lagrad.experiments._optimal_simulated import SIMULATED, _time_constant
from lagrad.experiments.optimal_momentum import EXPERIMENT
from lagrad.theory import time_constant


def rows(study, **cell):
    return [{**cell, **row} for row in study.compute(**cell)]


@pytest.fixture(scope="module")
def tables():
    """A few cells of every study."""
    rules = ("sgd", "heavy-ball", "lwp+sc", "dana", "roll-forward", "dm0")
    return {
        "limits": pd.DataFrame(
            [row for delay in (0, 1, 2) for row in rows(LIMITS, rule="heavy-ball", staleness=delay)]
        ),
        "optima": pd.DataFrame(
            [
                row
                for condition in (100.0, 1e3)
                for delay in (0, 1)
                for rule in rules
                for row in rows(OPTIMA, rule=rule, staleness=delay, condition=condition)
            ]
        ),
        "maps": pd.DataFrame(rows(MAPS, rule="lwp+sc", staleness=1)),
        "random": pd.DataFrame(
            [row for workers in (2, 4) for row in rows(RANDOM, workers=workers, steps=200)]
        ),
        "simulated": pd.DataFrame(
            [
                row
                for rule in ("heavy-ball", "ormo", "roll-forward", "spike-compensation")
                for row in rows(SIMULATED, rule=rule, workers=2, condition=10.0)
            ]
        ),
    }


def test_a_map_holds_the_time_constants_of_its_pairs(tables):
    some = tables["maps"].sample(12, random_state=0)
    for pair in some.itertuples():
        again = time_constant("lwp+sc", 1, CONDITION, lr=pair.lr, momentum=pair.momentum)
        # The map's eigenvalues are fewer.
        assert pair.time_constant == pytest.approx(again, rel=1e-2)


def test_a_time_constant_is_read_from_a_double_root_that_oscillates():
    t = np.arange(0, 3000, 4)
    losses = (t * np.cos(0.3 * t + 1) * np.exp(-t / 25)) ** 2
    assert _time_constant(t, losses, since=1500) == pytest.approx(25, rel=5e-3)


@pytest.mark.parametrize("x", [0.5, 1.5, 2.5])
def test_the_exponent_of_one_worker_is_that_of_gradient_descent(x):
    found = _exponents(np.array([x]), 1, 200, np.random.default_rng(0))
    np.testing.assert_allclose(found, np.log(abs(1 - x)), rtol=1e-9)


def test_runs_converge_as_predicted(tables):
    np.testing.assert_allclose(tables["simulated"].ratio, 1, atol=0.02)


def test_the_grids_have_no_cell_twice():
    for study in EXPERIMENT.studies:
        for quick in (True, False):
            cells = [tuple(cell.items()) for cell in study.cells(quick, {})]
            assert len(set(cells)) == len(cells)


def test_figures_are_drawn(tables, tmp_path):
    for name, draw in EXPERIMENT.figures.items():
        assert draw(tables, tmp_path / f"{name}.svg").stat().st_size > 1000


class TestVerdicts:
    def test_speak_of_the_tables(self, tables):
        said = EXPERIMENT.verdicts(tables)
        assert len({verdict.claim for verdict in said}) == len(said)
        by_claim = {verdict.claim.partition(",")[0]: verdict for verdict in said}
        assert by_claim["Simulated runs converge as predicted"].holds
        assert not by_claim[next(claim for claim in by_claim if "(dm0)" in claim)].holds

    @pytest.mark.parametrize(
        ("table", "change", "claim"),
        [
            ("optima", {"momentum": 0.5}, "The best momentum of arrival-ordered"),
            ("limits", {"limit": 0.7}, "At a staleness of 1"),
            ("limits", {"closed_form": 0.7}, "The closed forms"),
            ("optima", {"time_constant": 1.0}, "DANA, SMEGA2, OrMo"),
            ("optima", {"time_constant": 1.0}, "No momentum"),
            ("optima", {"usual_time_constant": 1.0}, "With its momentum left"),
            ("optima", {"usual_time_constant": 1.0}, "At momentum 0.9"),
            ("random", {"almost_sure_limit": 0.01}, "Random delays"),
            ("random", {"mean_limit": 0.01}, "The theorem of implicit"),
            ("simulated", {"ratio": 1.1}, "Simulated runs"),
        ],
    )
    def test_can_come_out_against_the_claim(self, tables, table, change, claim):
        changed = {**tables, table: tables[table].assign(**change)}
        found = next(v for v in EXPERIMENT.verdicts(changed) if v.claim.startswith(claim))
        assert found.holds is False
