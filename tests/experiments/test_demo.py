"""The demonstration says what was tuned, and runs it."""

import itertools
import json
import math
from pathlib import Path

import pytest

from lagrad.experiments import demo
from lagrad.rules import Clipped

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def figures():
    newest = max(RESULTS.glob("tune-demo-*.json"))
    return json.loads(newest.read_text())["figures"]


def test_every_entrant_had_the_same_trials(figures):
    grid = set(itertools.product(demo.LEARNING_RATES, demo.MOMENTA, demo.TUNING_SEEDS))
    for entrant in demo.ENTRANTS:
        trials = [t for t in figures["trials"] if t["policy"] == entrant.name]
        assert len(trials) == len(grid)
        assert {(t["lr"], t["momentum"], t["seed"]) for t in trials} == grid


@pytest.mark.parametrize("entrant", demo.ENTRANTS, ids=lambda entrant: entrant.name)
def test_the_best_trial_is_run(figures, entrant):
    slowest = dict.fromkeys(itertools.product(demo.LEARNING_RATES, demo.MOMENTA), 0.0)
    for trial in figures["trials"]:
        if trial["policy"] == entrant.name:
            pair = trial["lr"], trial["momentum"]
            slowest[pair] = max(slowest[pair], trial["units_to_target"] or math.inf)
    larger = dict(itertools.pairwise(demo.LEARNING_RATES))
    safe = {
        (lr, momentum): units
        for (lr, momentum), units in slowest.items()
        if lr in larger and slowest[larger[lr], momentum] < math.inf
    }
    assert safe[demo.TUNED[entrant.name]] == min(safe.values()) < math.inf
    lr, momentum = demo.TUNED[entrant.name]
    assert f"{lr:g} / {momentum:g}" in demo.statement()


@pytest.mark.parametrize("entrant", demo.ENTRANTS, ids=lambda entrant: entrant.name)
def test_what_is_the_same_for_all_is(entrant):
    rule = entrant.rule(0.1, 0.9)
    assert isinstance(rule, Clipped)
    assert rule.factor == 2.0
    rate = rule.rule.lr
    assert rate(demo.WARMUP_GRADIENTS) == 0.1
    assert entrant.ema ** (1 / entrant.gradients) == pytest.approx(1 - 1 / demo.AVERAGED_GRADIENTS)


def test_a_folder_that_is_no_demo_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("the only copy")
    with pytest.raises(ValueError, match="an earlier demo"):
        demo.clear(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "the only copy"


def test_a_folder_that_only_looks_like_a_demo_is_left_alone(tmp_path):
    source = tmp_path / "lagrad" / "mine.py"
    source.parent.mkdir()
    source.write_text("the only copy")
    with pytest.raises(ValueError, match="an earlier demo"):
        demo.clear(tmp_path)
    assert source.exists()


def test_an_earlier_demo_is_replaced(tmp_path):
    out = tmp_path / "demo"
    demo.clear(out)
    (out / "lagrad").mkdir()
    (out / "race.png").touch()
    demo.clear(out)
    assert [path.name for path in out.iterdir()] == ["summary.json"]
    assert json.loads((out / "summary.json").read_text()) == []


ROW = {"final_accuracy": 0.986, "applied": 9, "dropped": 0, "mean_staleness": 0.5}


def test_the_verdict_claims_what_the_rows_show():
    times = {"synchronous": 200.0, "backup-workers": 30.0, "lagrad": 20.0}
    rows = [{**ROW, "policy": p, "seconds_to_target": t} for p, t in times.items()]
    assert demo.verdict(rows).endswith(
        "after 20.0 s: 10.0 times sooner than synchronous, 1.5 times sooner than backup-workers."
    )
    rows[1]["seconds_to_target"] = 16.0
    assert demo.verdict(rows).endswith("1.2 times later than backup-workers.")
    rows[0]["seconds_to_target"] = None
    assert "synchronous did not reach it" in demo.verdict(rows)
    rows[2]["seconds_to_target"] = None
    assert "lagrad did not reach" in demo.verdict(rows)
    assert demo.table(rows).count("not reached") == 2
