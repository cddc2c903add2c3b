"""A race gives everyone the same means, keeps who fails, and claims what its runs bear out."""

import math
import shlex
import sys
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from lagrad import specs
from lagrad.cli._commands import app
from lagrad.experiments import Race, quick_race, race
from lagrad.experiments._race_entrants import enter
from lagrad.experiments._race_runs import chosen, run, studies
from lagrad.experiments._race_verdicts import adjusted, summary, verdicts
from lagrad.plots import plot_race_profile, plot_race_times

SMALL = {
    "task": "quadratic:condition=5,dimension=3,noise=0.01",
    "rules": ("sgd", "momentum"),
    "delays": ("equal", "gamma"),
    "workers": 2,
    "target": "loss<=1e-2",
    "budget": 40.0,
    "grid": {"lr": (0.05, 0.3), "momentum": (0.3, 0.6)},
    "tuning_seeds": 1,
    "report_seeds": 3,
}


@contextmanager
def forbidden(title, cells):
    assert cells == 0, f"{title} computes again"
    yield lambda: None


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A race that has been run, and its folder; not to be changed."""
    out = tmp_path_factory.mktemp("small") / "race"
    return race(Race(**SMALL), out), out


def runs(times: dict[str, list[float]], *, budget=100.0, delays="gamma") -> pd.DataFrame:
    """A table `report` of invented times, for a race with SMALL's two rules."""
    terms = Race(**SMALL)
    rule = {entrant.name: entrant.trials[0].rule for entrant in terms.field}
    rows = [
        {"delays": delays, "entrant": name, "rule": rule[name], "seed": seed, "task": "t"}
        | {"workers": 2, "target": "loss<=1e-2", "budget": budget, "runtime": "simulator"}
        | {"time_to_target": time, "score": 0.01, "stopped": "target"}
        for name, all_times in times.items()
        for seed, time in enumerate(all_times)
    ]
    return pd.DataFrame(rows)


def judged(times: dict[str, list[float]], **settings):
    """The sentence on the one panel of invented times."""
    tuning = runs({"sgd": [1.0], "momentum": [1.0]}, **settings)
    terms = Race(**{**SMALL, "grid": {"lr": (0.05,)}, "delays": ("gamma",)})
    report = runs(times, **settings)
    for table in (tuning, report):
        table["rule"] = [f"{name}(lr=0.05)" for name in table.entrant]
    return verdicts(terms, {"tuning": tuning, "report": report})[0]


GRID = {"lr": (0.01, 0.1, 1.0), "momentum": (0.5, 0.8)}


class TestEntrants:
    def enter(self, rule, grid=None):
        return enter(rule, "asynchronous", grid=grid or GRID, workers=4, name=rule)

    @pytest.mark.parametrize(
        "rule", ["sgd", "momentum", "ormo", "dynamic", "dynamic:kernel=geometric:{momentum}"]
    )
    def test_everyone_has_as_many_trials_between_the_same_ends(self, rule):
        entrant = self.enter(rule)
        assert len({trial.rule for trial in entrant.trials}) == 6
        rates = [trial.values["lr"] for trial in entrant.trials]
        assert (min(rates), max(rates)) == (0.01, 1.0)

    def test_what_a_rule_lacks_makes_the_rest_finer_in_equal_ratios(self):
        grid = {"lr": (0.01, 1.0), "momentum": (0.5, 0.8)}
        rates = np.array([trial.values["lr"] for trial in self.enter("sgd", grid).trials])
        assert np.ptp(np.log(rates[1:] / rates[:-1])) < 1e-3

    def test_what_a_rule_says_stays(self):
        given = ("momentum:lr=0.3", "momentum(0.3)", "momentum:0.3,nesterov=true")
        for rule in given:
            made = [specs.parse("rule", trial.rule) for trial in self.enter(rule).trials]
            assert len(made) == 6
            assert {each.lr for each in made} == {0.3}
            assert {each.nesterov for each in made} == {"nesterov" in rule}

    def test_a_place_is_filled_wherever_it_stands(self):
        rule = "clipped:momentum(lr={lr},momentum={momentum})"
        inner = [specs.parse("rule", trial.rule).rule for trial in self.enter(rule).trials]
        assert {(each.lr, each.momentum) for each in inner} == {
            (lr, momentum) for lr in GRID["lr"] for momentum in GRID["momentum"]
        }

    def test_workers_are_filled_in_unless_they_are_given(self):
        assert self.enter("ormo").trials[0].rule.startswith("ormo(workers=4,")
        assert self.enter("ormo:2").trials[0].rule.startswith("ormo(2,")

    def test_edges_are_those_of_the_own_grid(self):
        entrant = self.enter("momentum:lr=0.3")
        edges = [entrant.edges(trial.rule) for trial in entrant.trials]
        assert edges == [["momentum smallest"], [], [], [], [], ["momentum largest"]]


class TestDoor:
    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"rules": ("momentun",)}, "did you mean momentum"),
            ({"policies": ("asynchronos",)}, "did you mean asynchronous"),
            ({"delays": ("straglers",)}, "did you mean stragglers"),
            ({"delays": ("gamma", "gamma")}, "name each once"),
            ({"rules": ("sgd", "sgd:weight=constant")}, "sgd and sgd:weight=constant"),
            ({"rules": ("sgd",), "entrants": ("sgd @ async",)}, "leave one out"),
            ({"entrants": ("sgd",)}, "'RULE @ POLICY'"),
            ({"rules": ()}, "at least one entrant"),
            ({"grid": {"lr": (0.1,), "horizon": (1, 2)}}, "got horizon"),
            ({"grid": {"lr": (0.1,), "momentum": (0.5, 1.0)}}, "momentum"),
            ({"grid": {"lr": (0.3, 0.1)}}, "rising order"),
            ({"grid": {"lr": ()}}, "got none"),
            ({"rules": ("dynamic:kernel=geometric:{beta}",)}, "got beta"),
            ({"policies": ("k-sync:3",)}, "3"),
            ({"target": "loss"}, "such as"),
            ({"budget": 0.0}, "seconds > 0"),
            ({"report_seeds": 1}, "two runs"),
            ({"runtime": "cloud"}, "simulator or local"),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_said_before_anything_runs(self, wrong, words):
        with pytest.raises(ValueError, match=words):
            Race(**{**SMALL, **wrong})

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"target": "accuracy>=0.9"}, "accuracy"),
            ({"task": "quadratc"}, "quadratic"),
            ({"ema": 1.5}, "ema"),
        ],
        ids=str,
    )
    def test_a_task_that_does_not_fit_leaves_no_folder(self, wrong, words, tmp_path):
        with pytest.raises(ValueError, match=words):
            race(Race(**{**SMALL, **wrong}), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_real_time_is_one_at_a_time(self, tmp_path):
        with pytest.raises(ValueError, match="1 process"):
            race(Race(**{**SMALL, "runtime": "local"}), tmp_path, processes=2)


class TestRuns:
    def run(self, rule, **settings):
        terms = {
            "delays": "equal",
            "entrant": "e",
            "policy": "asynchronous",
            "seed": 0,
            "task": "parabola",
            "workers": 1,
            "target": "loss<=1",
            "budget": 20.0,
            "evaluate_every": 1.0,
            "ema": 0.0,
            "runtime": "simulator",
        }
        (row,) = run(rule=rule, **{**terms, **settings})
        return row

    def test_the_time_is_interpolated_between_evaluations(self):
        # x <- x/2 at 1, 2, ..., from 8; an evaluation comes before a step of the same moment, so
        # that the losses at 1, 2, 3, 4 are 64, 16, 4, 1.
        assert self.run(rule="sgd(lr=0.25)")["time_to_target"] == 4.0
        between = self.run(rule="sgd(lr=0.25)", target="loss<=2")
        assert between["time_to_target"] == pytest.approx(3 + 2 / 3)
        assert between["stopped"] == "target"
        assert between["updates"] == 3

    def test_who_does_not_arrive_is_there(self):
        late = self.run(rule="sgd(lr=0.001)")
        assert (late["time_to_target"], late["stopped"]) == (math.inf, "budget")
        assert late["score"] > 1
        gone = self.run(rule="sgd(lr=1e200)")
        assert (gone["time_to_target"], gone["stopped"]) == (math.inf, "diverged")

    def test_a_run_beyond_the_limit_of_stability_warns_nobody(self):
        assert self.run(rule="sgd(lr=1.5)", workers=4)["time_to_target"] == math.inf


class TestChoice:
    def test_the_first_at_the_target_is_chosen_and_else_the_best_score(self):
        grid = {"lr": (0.1, 0.2, 0.3)}
        terms = Race(**{**SMALL, "rules": ("sgd",), "delays": ("gamma",), "grid": grid})
        rules = [trial.rule for trial in terms.field[0].trials]

        def choice(times, scores):
            where = {"delays": "gamma", "entrant": "sgd", "rule": rules}
            table = pd.DataFrame({**where, "time_to_target": times, "score": scores})
            ((_, _, rule),) = chosen(terms, table)
            return rules.index(rule)

        inf, nan = math.inf, math.nan
        assert choice([3.0, 2.0, inf], [0.0, 1.0, 0.0]) == 1
        assert choice([inf, inf, inf], [2.0, 1.0, nan]) == 1
        assert choice([inf, inf, inf], [nan, nan, 5.0]) == 2
        assert choice([2.0, 2.0, 2.0], [1.0, 1.0, 1.0]) == 0

    def test_tuning_and_report_share_no_seed_and_have_equal_cells_for_all(self):
        terms = Race(**SMALL)
        tuning, report = studies(terms)
        tried = tuning.cells(False, {})
        counts = Counter((cell["delays"], cell["entrant"]) for cell in tried)
        assert set(counts.values()) == {4}
        assert len(counts) == 4
        table = pd.DataFrame(tried).assign(time_to_target=1.0, score=1.0)
        told = report.cells(False, {"tuning": table})
        assert not {cell["seed"] for cell in tried} & {cell["seed"] for cell in told}
        assert len(told) == 4 * terms.report_seeds


class TestStatistics:
    def test_two_entrants_are_compared_by_the_paired_t_test(self):
        one, other = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.5, 4.1])
        p = adjusted({"a": one, "b": other})[frozenset("ab")]
        assert p == pytest.approx(stats.ttest_rel(one, other).pvalue)

    def test_holm_is_between_the_raw_and_bonferroni_and_keeps_the_order(self):
        random = np.random.default_rng(0)
        times = {name: random.normal(place, 1.0, 5) for place, name in enumerate("abcd")}
        p = adjusted(times)
        raw = {pair: stats.ttest_rel(*(times[name] for name in pair)).pvalue for pair in p}
        assert len(p) == 6
        assert all(raw[pair] <= p[pair] <= min(1.0, 6 * raw[pair] + 1e-12) for pair in p)
        in_order = [p[pair] for pair in sorted(p, key=raw.__getitem__)]
        assert in_order == sorted(in_order)

    def test_chance_alone_gives_a_claim_in_no_more_than_five_of_a_hundred(self):
        random = np.random.default_rng(1)
        claims = sum(
            min(adjusted({name: random.normal(size=5) for name in "abcd"}).values()) < 0.05
            for _ in range(200)
        )
        assert claims <= stats.binom.ppf(0.999, 200, 0.05)

    def test_a_clear_winner_is_told(self):
        verdict = judged({"sgd": [50.0, 51.0, 52.0], "momentum": [10.0, 10.5, 11.0]})
        assert verdict.claim == "gamma: momentum is the fastest."
        assert verdict.holds is True
        assert "significantly faster than sgd (51 ± 2.5)" in verdict.evidence

    def test_no_more_is_claimed_than_the_interval_allows(self):
        verdict = judged({"sgd": [10.0, 30.0, 14.0], "momentum": [12.0, 13.0, 14.0]})
        assert verdict.holds is None
        assert "not told apart from sgd" in verdict.evidence
        assert "significantly" not in verdict.evidence

    def test_who_does_not_arrive_counts_with_the_budget_and_is_told(self):
        verdict = judged({"sgd": [math.inf, math.inf, 90.0], "momentum": [10.0, 10.5, 11.0]})
        assert "(>= 96.67 ± 14, reached by 1 of 3)" in verdict.evidence
        nobody = judged({"sgd": [math.inf] * 3, "momentum": [math.inf] * 3})
        assert nobody.holds is False
        assert "none of 2 did, in 6 runs" in nobody.evidence


class TestRace:
    def test_everything_is_written(self, small):
        done, out = small
        assert {path.name for path in out.iterdir() if path.name != ".lock"} == {
            *("tuning.csv", "report.csv", "summary.csv", "report.md", "computed.jsonl"),
            *("race.png", "race.svg", "profile.png", "profile.svg"),
        }
        words = (out / "report.md").read_text()
        assert all(verdict.claim in words for verdict in done.verdicts)
        assert "nan" not in words
        assert Race(**SMALL).command in words
        assert list(pd.read_csv(out / "summary.csv").columns) == list(done.tables["summary"])

    def test_a_second_call_computes_nothing_and_says_the_same(self, small):
        done, out = small
        again = race(Race(**SMALL), out, progress=forbidden)
        assert again.verdicts == done.verdicts

    def test_the_summary_is_of_the_reports_runs(self, small):
        done, _ = small
        table, report = done.tables["summary"], done.tables["report"]
        assert len(table) == 4
        assert (table.reached + 0 == table.runs).all()
        for _, row in table.iterrows():
            some = report[(report.delays == row.delays) & (report.entrant == row.entrant)]
            assert set(some.rule) == {row.rule}
            assert row.mean_time == pytest.approx(some.time_to_target.mean())
        assert (summary(Race(**SMALL), done.tables).columns == table.columns).all()

    def test_more_seeds_only_add_runs(self, small):
        done, _ = small
        for number in (0, 1):
            few, more = (
                studies(Race(**{**SMALL, "tuning_seeds": seeds, "report_seeds": 2 + seeds}))[number]
                for seeds in (1, 2)
            )
            before, after = few.cells(False, done.tables), more.cells(False, done.tables)
            assert all(cell in after for cell in before)
            assert len(after) > len(before)

    def test_figures_hold_who_never_arrives(self, tmp_path):
        times = {"sgd": [math.inf] * 3, "momentum": [math.inf, 10.0, 11.0]}
        for tables in (runs(times), runs({"sgd": [math.inf] * 3})):
            for draw in (plot_race_times, plot_race_profile):
                path = draw({"report": tables}, tmp_path / f"{draw.__name__}.svg")
                assert path.stat().st_size > 1000
        shown = plot_race_times({"report": runs(times)}, tmp_path / "race.svg").read_text()
        assert "<!-- 3/3 -->" in shown
        assert "<!-- 1/3 -->" in shown


class TestCommand:
    def test_the_command_of_a_race_gives_that_race_again(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        terms = Race(**{**SMALL, "entrants": ("ormo @ k-batch-async:2",), "ema": 0.5})
        seen = []
        monkeypatch.setattr(
            "lagrad.experiments.race", lambda given, *a, **k: seen.append(given) or sys.exit(7)
        )
        CliRunner().invoke(app, shlex.split(terms.command)[1:])
        assert seen == [terms]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ("--rule momentun", "did you mean momentum"),
            ("--grid lr", "--grid NAME=VALUE"),
            ("--target accuracy>=1", "accuracy"),
            ("--entrant sgd", "RULE @ POLICY"),
            ("--runtime local --processes 2", "1 process"),
        ],
    )
    def test_bad_usage_ends_with_code_2_and_leaves_nothing(
        self, options, words, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(app, ["race", *options.split()])
        assert done.exit_code == 2
        assert words in done.stderr
        assert not list(tmp_path.iterdir())


def test_the_quick_race_has_every_rule_that_stands_for_itself():
    terms = quick_race()
    assert {"sgd", "momentum", "ormo", "dana-zero", "default-rule"} <= set(terms.rules)
    assert not {"clipped", "projected"} & set(terms.rules)
    assert len({len(entrant.trials) for entrant in terms.field}) == 1


@pytest.mark.experiments
@pytest.mark.timeout(400)
def test_the_quick_race(tmp_path):
    """With all its rules, on a smaller grid."""
    grid = {"lr": (0.07, 0.25), "momentum": (0.6, 0.9)}
    done = race(quick_race(budget=60.0, grid=grid, report_seeds=2), tmp_path, processes=2)
    assert set(done.tables["summary"].entrant) == set(quick_race().rules)
