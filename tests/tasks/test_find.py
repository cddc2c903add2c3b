import sys

import pytest

from lagrad.tasks import find, parabola

SOURCE = """
from lagrad.tasks import parabola

task = parabola()
number = 3

def make(*, scale: float = 1.0):
    return parabola() if scale == 1.0 else scale
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with modules of the user's own; imports are undone afterwards."""
    (tmp_path / "own_tasks.py").write_text(SOURCE)
    (tmp_path / "own_broken.py").write_text("import own_absent_dependency\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in ("own_tasks", "own_broken"):
        sys.modules.pop(name, None)


def test_built_in_tasks_take_arguments():
    assert find("parabola").name == parabola().name
    assert find("softmax-mnist", batch_size=3).batch_size == 3


@pytest.mark.parametrize("name", ["own_tasks:task", "own_tasks:make"])
def test_tasks_of_ones_own_are_found_in_the_current_folder(name):
    assert find(name).name == "parabola"


@pytest.mark.parametrize(
    ("name", "arguments", "error", "text"),
    [
        ("lenet", {}, ValueError, "near: lenet-mnist"),
        ("zzz", {}, ValueError, "got 'zzz'; `lagrad list tasks`"),
        (":task", {}, ValueError, "Expected module:name"),
        ("own_tasks:", {}, ValueError, "Expected module:name"),
        ("quadratic", {"conditon": 3.0}, ValueError, "near: condition"),
        ("own_absent:task", {}, ValueError, "Expected a module 'own_absent'"),
        ("own_absent.deep:task", {}, ValueError, "Expected a module 'own_absent.deep'"),
        ("own_broken:task", {}, ModuleNotFoundError, "No module named 'own_absent_dependency'"),
        ("own_tasks:tusk", {}, ValueError, "own_tasks.py.*near: task"),
        ("own_tasks:number", {}, ValueError, "got int"),
        ("own_tasks:make", {"scale": 2.0}, ValueError, "to return a Task, got float"),
        ("own_tasks:task", {"scale": 2.0}, ValueError, "Expected no arguments"),
    ],
)
def test_what_is_not_found_is_said(name, arguments, error, text):
    with pytest.raises(error, match=text):
        find(name, **arguments)
