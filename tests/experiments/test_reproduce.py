"""An experiment computes each cell once, keeps what is finished, and judges from its tables."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from lagrad.experiments import Verdict, reproduce, tables
from toy_experiment import EXPERIMENT


@contextmanager
def silent(title, cells):
    del title, cells
    yield lambda: None


def run(out, *, quick=False):
    return reproduce(EXPERIMENT, out, quick=quick, processes=2, progress=silent)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What one run in a folder of its own has given, and where."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run(Path("out")), folder


@pytest.fixture
def written(finished):
    """What a finished run has given; it lies here, as if it had been carried out here."""
    found, folder = finished
    shutil.copytree(folder, ".", dirs_exist_ok=True)
    return found


def calls() -> list[str]:
    return sorted(Path("calls").read_text().splitlines())


def test_everything_is_written(written):
    assert {path.name for path in Path("out").iterdir() if path.name != ".lock"} == {
        "squares.csv",
        "halves.csv",
        "squares.png",
        "squares.svg",
        "report.md",
        "computed.jsonl",
    }
    assert Path("out/squares.png").read_text() == "8"
    assert "Holds: seen." in Path("out/report.md").read_text()
    assert written.tables["halves"]["half"].tolist() == [(2.5**2 + 1 / 3) / 2]


def test_what_is_computed_is_not_computed_again(finished):
    run(Path("out"), quick=True)
    assert calls() == ["0.5 1", "0.5 2.5"]
    run(Path("out"))
    assert calls() == ["0.5 1", "0.5 2.5", "none 1", "none 2.5"]
    again = run(Path("out"))
    assert len(calls()) == 4
    fresh, _ = finished
    for name, table in fresh.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)


@pytest.mark.usefixtures("written")
def test_a_quick_run_leaves_the_other_cells_in_their_file():
    quick = run(Path("out"), quick=True)
    assert len(quick.tables["squares"]) == 4
    assert len(pd.read_csv("out/squares.csv")) == 8


def test_what_was_finished_before_a_failure_is_kept_and_noted():
    Path("broken").touch()
    with pytest.raises(RuntimeError, match="broken"):
        run(Path("out"))
    notes = [json.loads(line) for line in Path("out/computed.jsonl").read_text().splitlines()]
    assert [note["cells"] for note in notes] == [4]
    Path("broken").unlink()
    run(Path("out"))
    assert len(calls()) == 4


def test_the_tables_alone_are_the_same(written):
    for name, table in tables(EXPERIMENT, quick=False).items():
        pd.testing.assert_frame_equal(written.tables[name], table, check_exact=True)


@pytest.mark.parametrize("content", ["other,columns\n1,2\n", ""])
def test_a_table_of_something_else_is_refused(content):
    Path("out").mkdir()
    Path("out/squares.csv").write_text(content)
    with pytest.raises(ValueError, match="none of this version's"):
        run(Path("out"))


def test_verdicts_say_whether_they_hold():
    words = {True: "Holds:", False: "Does not hold:", None: "Undecided:"}
    for holds, word in words.items():
        assert word in str(Verdict("A claim.", holds, "evidence."))


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("torn", [None, '{"date": "2026-', "\x00"])
def test_lost_notes_cost_nothing_but_the_notes(torn):
    notes = Path("out/computed.jsonl")
    if torn is None:
        notes.unlink()
    else:
        notes.write_text(notes.read_text() + torn)
    run(Path("out"))
    assert len(calls()) == 4
    told = Path("out/report.md").read_text().splitlines()[-1]
    assert ("not noted" in told) == (torn is None)


@pytest.mark.usefixtures("written")
def test_a_table_that_is_cut_off_is_refused_and_left_as_it_is():
    table = Path("out/squares.csv")
    table.write_bytes(table.read_bytes()[:-2])
    before = table.read_bytes()
    with pytest.raises(ValueError, match="cut off"):
        run(Path("out"))
    assert table.read_bytes() == before


@pytest.mark.usefixtures("written")
def test_two_calls_do_not_share_a_folder():
    with FileLock("out/.lock"), pytest.raises(ValueError, match="nobody else computes"):
        run(Path("out"))
    run(Path("out"))
