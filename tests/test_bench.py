"""What `lagrad bench` prints, on sizes that take a moment."""

import json

import pytest
from typer.testing import CliRunner

from lagrad import bench
from lagrad.cli import app


def units(row):
    return {key.rpartition("_")[0] for key in row if key.endswith("_median")}


def test_the_server_is_measured_for_each_policy_and_number_of_workers():
    rows = bench.server(workers=(4, 8), events=50, rounds=2)
    assert {row["workers"] for row in rows} == {4, 8}
    assert len({row["policy"] for row in rows}) == len(rows) / 2
    for row in rows:
        assert units(row) == {"events_per_s"}
        assert 0 < row["events_per_s_lowest"] <= row["events_per_s_median"]


def test_the_plain_loop_is_what_others_are_compared_with():
    rows = bench.simulate(workers=(3,), updates=5, rounds=1)
    assert [row["together"] for row in rows] == [1, 3, 1, 3]
    assert all(row["ratio_to_plain_median"] == 1 for row in rows[::2])
    assert all(units(row) == {"us_per_gradient", "ratio_to_plain"} for row in rows)


@pytest.mark.experiments
def test_pushes_are_measured_beside_others_and_the_limit():
    rows = bench.push(params=(1000,), workers=(2,), seconds=0.1, rounds=1)
    assert [row["system"] for row in rows] == ["limit", "lagrad", "hogwild", "gloo"]
    assert rows[0]["fraction_of_limit_median"] == 1
    for row in rows:
        assert units(row) == {"updates_per_s", "fraction_of_limit"}
        assert row["updates_per_s_lowest"] > 0


def test_turns_are_taken():
    order = []
    entrants = {name: lambda name=name: order.append(name) or 0.0 for name in "ab"}
    assert bench.in_turns(entrants, rounds=2) == {"a": [0.0, 0.0], "b": [0.0, 0.0]}
    assert order == ["a", "b", "a", "b"]


def test_json_is_a_list_of_objects_and_a_result_is_dated(monkeypatch, tmp_path):
    rows = [{"workers": 4, "events_per_s_median": 1.0}]
    monkeypatch.setattr("lagrad.bench.server", lambda **_: rows)
    printed = CliRunner().invoke(app, ["bench", "server", "--json", "--out", str(tmp_path)])
    assert json.loads(printed.stdout) == rows
    (file,) = tmp_path.glob("server-????-??-??.json")
    found = json.loads(file.read_text())
    assert found["figures"] == rows
    assert {"machine", "torch", "python", "lagrad", "date", "command"} <= found.keys()
