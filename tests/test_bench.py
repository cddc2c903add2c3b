"""What `lagrad bench` prints, on sizes that take a moment."""

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lagrad import bench
from lagrad.bench.entrants import ENTRANTS, LEARNING_RATES, MOMENTA
from lagrad.bench.peers import PEERS, Load, Replica
from lagrad.cli._commands import app

ROOT = Path(__file__).resolve().parent.parent


def spread_figures(row):
    """Those of which the lowest and the highest are told."""
    return {key.removesuffix("_lowest") for key in row if key.endswith("_lowest")}


def test_the_server_is_measured_for_each_policy_and_number_of_workers():
    rows = bench.server(workers=(4, 8), events=50, rounds=2)
    assert {row["workers"] for row in rows} == {4, 8}
    assert len({row["policy"] for row in rows}) == len(rows) / 2
    for row in rows:
        assert spread_figures(row) == {"events_per_s"}
        assert 0 < row["events_per_s_lowest"] <= row["events_per_s"]


def test_the_plain_loop_is_what_others_are_compared_with():
    rows = bench.simulate(workers=(3,), updates=5, rounds=1)
    assert [row["system"] for row in rows] == 2 * ["plain loop", "lagrad"]
    assert [row["together"] for row in rows] == [1, 3, 1, 3]
    assert all(row["ratio_to_plain"] == 1 for row in rows[::2])
    assert all(spread_figures(row) == {"us_per_update", "ratio_to_plain"} for row in rows)


@pytest.mark.experiments
def test_pushes_are_measured_beside_others_and_the_limit():
    # Long enough that both workers of each push also on a busy machine.
    rows = bench.push(params=(1000,), workers=(2,), seconds=1.0, rounds=1)
    rows, absent = [[r for r in rows if ("left_out" in r) is out] for out in (False, True)]
    here = [name for name, peer in PEERS.items() if not peer.missing()]
    assert [row["system"] for row in rows] == ["limit", "lagrad", *here]
    assert {row["system"] for row in absent} == PEERS.keys() - set(here)
    assert rows[0]["fraction_of_limit"] == rows[1]["lagrad_ratio"] == 1
    for row in rows:
        assert spread_figures(row) == {"updates_per_s", "fraction_of_limit", "lagrad_ratio"}
        assert row["updates_per_s_lowest"] > 0


@pytest.mark.experiments
@pytest.mark.parametrize("name", PEERS)
def test_one_worker_of_a_peer_is_sgd_with_momentum(name):
    if words := PEERS[name].missing():
        pytest.skip(words)
    whole = "softmax-mnist", {"batch_size": 60_000}
    load = Load(*whole, workers=1, lr=0.1, momentum=0.9, seconds=99.0, gradients=3, watch_every=0.0)
    found = [point for _, point in PEERS[name].carry(load).snapshots]
    alone, expected = Replica(load, 0), []
    for _ in range(5):
        alone.backward()
        alone.optimizer.step()
        expected.append(torch.cat([p.detach().flatten() for p in alone.model.parameters()]))
    # Ray's example throws the first gradients away; the others step on theirs before the start.
    first = 0 if name == "ray-example" else 1
    assert len(found) == 3
    for at, point in enumerate(found):
        assert torch.dist(torch.tensor(point), expected[first + at]) < 1e-5
    assert torch.dist(expected[0], expected[1]) > 1e-3


@pytest.mark.experiments
def test_training_is_measured_beside_bare_gradients(monkeypatch):
    monkeypatch.setattr("lagrad.bench._cost.BURSTS", 1)
    rows = bench.train(rounds=1)
    assert len(rows) == 2
    for row in rows:
        assert row["updates_per_s"] > 0
        assert row["bare_gradient_ms"] > row["server_processor_ms_per_update"] > 0
        assert {"system", "params", "workers", "fraction_of_limit", "cost_percent"} <= row.keys()


@pytest.mark.experiments
def test_a_race_is_run_by_all_and_drawn(monkeypatch, tmp_path):
    raced = {"lagrad", "hogwild", "ddp-gloo"}
    entrants = tuple(e for e in ENTRANTS if e.name in raced)
    monkeypatch.setattr("lagrad.bench._race.ENTRANTS", entrants)
    monkeypatch.setattr("lagrad.bench._race.GRADIENTS", 8)
    monkeypatch.setattr("lagrad.bench._race.WATCH_EVERY_S", 0.01)
    monkeypatch.setattr("lagrad.bench._race.TARGET", 0.05)
    rows = bench.race(rounds=1, figure=tmp_path / "race.png")
    assert {row["system"] for row in rows} == raced
    for row in rows:
        assert row["rounds_reached"] == 1
        assert spread_figures(row) == {"seconds_to_target", "lagrad_ratio", "gradients_per_s"}
    assert rows[0]["lagrad_ratio"] == 1
    assert (tmp_path / "race.png").stat().st_size > 1000


def test_a_time_that_was_not_reached_is_none_and_said():
    row = {"system": "a", **bench.spread("seconds_to_target", [3.0, math.inf, math.inf])}
    assert row["seconds_to_target"] is None
    assert row["seconds_to_target_lowest"] == 3
    assert bench.table([row]).endswith("| a | not reached (3 to not reached) |")


def test_who_is_not_installed_is_left_out_with_a_word(monkeypatch):
    absent = {"mpi": replace(PEERS["mpi"], missing=lambda: "not installed: pip install it")}
    monkeypatch.setattr("lagrad.bench._push.PEERS", absent)
    monkeypatch.setattr("lagrad.bench._push._ours", lambda load: 2.0)
    *_, row = bench.push(params=(1000,), workers=(2,), seconds=0.03, rounds=1)
    assert row["system"] == "mpi"
    assert row["updates_per_s"] is row["fraction_of_limit"] is None
    assert bench.table([row]) == "Left out: mpi, not installed: pip install it."


def test_everyone_is_raced_with_the_best_of_as_many_trials():
    newest = max((ROOT / "benchmarks" / "results").glob("tune-train-*.json"))
    figures = json.loads(newest.read_text())["figures"]
    grid = set(product(LEARNING_RATES, MOMENTA))
    for entrant in ENTRANTS:
        tuned = "rpc" if entrant.name in {"ray-example", "mpi"} else entrant.name
        tried = [trial for trial in figures["trials"] if trial["entrant"] == tuned]
        assert {(trial["lr"], trial["momentum"]) for trial in tried} == grid
        best = max(tried, key=lambda trial: trial["accuracy"])
        assert (entrant.lr, entrant.momentum) == (best["lr"], best["momentum"])


def test_a_race_goes_with_training_alone():
    printed = CliRunner().invoke(app, ["bench", "server", "--race"])
    assert printed.exit_code == 2
    assert "--race goes with train or all" in printed.output


def test_turns_are_taken():
    order = []
    entrants = {name: lambda name=name: order.append(name) or 0.0 for name in "ab"}
    assert bench.in_turns(entrants, rounds=2) == {"a": [0.0, 0.0], "b": [0.0, 0.0]}
    assert order == ["a", "b", "a", "b"]


def test_json_is_a_list_of_objects_and_a_result_is_dated(monkeypatch, tmp_path):
    rows = [{"workers": 4, "events_per_s": 1.0}]
    monkeypatch.setattr("lagrad.bench.server", lambda **_: rows)
    printed = CliRunner().invoke(app, ["bench", "server", "--json", "--out", str(tmp_path)])
    assert json.loads(printed.stdout) == rows
    (file,) = tmp_path.glob("server-????-??-??.json")
    found = json.loads(file.read_text())
    assert found["figures"] == rows
    assert {"machine", "torch", "python", "lagrad", "date", "command"} <= found.keys()


def test_nothing_is_measured_whose_results_have_no_place(monkeypatch, tmp_path):
    monkeypatch.setattr("lagrad.bench.server", lambda **_: pytest.fail("it was measured"))
    taken = tmp_path / "results"
    taken.write_text("a file")
    printed = CliRunner().invoke(app, ["bench", "server", "--out", str(taken)])
    assert printed.exit_code == 1
    assert "File exists" in printed.output
