"""The rooms and the arrows between them, as docs/design.md draws them."""

import ast
from pathlib import Path

import pytest

import lagrad

ROOT = Path(lagrad.__file__).parent
VALUES = {"weights", "schedules", "sets"}
LEAVES = VALUES | {"rules", "policies", "delays", "tasks", "trace"}

#: What each room may import of lagrad, besides itself.
MAY = {
    "core": set(),
    "weights": {"core"},
    "schedules": {"core"},
    "sets": {"core"},
    "policies": {"core"},
    "delays": {"core"},
    "tasks": {"core"},
    "trace": {"core"},
    "rules": {"core"} | VALUES,
    "runtimes": {"core"} | LEAVES,
    "plots": {"core", "trace"},
    "experiments": {"core", "runtimes", "plots", "", "_train"} | LEAVES,
}
IMPURE = {"time", "random", "socket", "os", "subprocess", "threading", "multiprocessing", "io"}


def imports(file: Path) -> set[str]:
    """Absolute names of what a file imports, `package.module` at most two deep."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "lagrad":
                found |= {f"lagrad.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY)
def test_a_room_imports_what_it_may(room):
    assert files(room)
    for file in files(room):
        for name in imports(file):
            top, _, rest = name.partition(".")
            if top != "lagrad":
                continue
            target = rest.split(".")[0]
            if target and (ROOT / target).is_dir():
                assert target in MAY[room] | {room}, f"{file.name} imports {name}"


def test_the_core_is_pure():
    for file in files("core"):
        outside = {name.split(".")[0] for name in imports(file)}
        assert not outside & IMPURE, file.name
        assert outside <= {
            "torch",
            "msgspec",
            "lagrad",
            "abc",
            "bisect",
            "collections",
            "dataclasses",
            "enum",
            "functools",
            "heapq",
            "math",
            "typing",
        }, file.name


def test_matplotlib_is_imported_in_one_room():
    for file in ROOT.rglob("*.py"):
        if "plots" not in file.parts:
            assert not any(n.split(".")[0] == "matplotlib" for n in imports(file)), file.name


def test_every_folder_is_a_room_of_the_design():
    assert {p.name for p in ROOT.iterdir() if p.is_dir() and p.name != "__pycache__"} == set(MAY)
