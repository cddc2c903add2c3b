"""The rooms and the arrows between them, as docs/design.md draws them."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lagrad

ROOT = Path(lagrad.__file__).parent
VALUES = {"weights", "schedules", "sets", "aggregations"}
LEAVES = VALUES | {"rules", "policies", "delays", "chaos", "tasks", "trace"}

#: What each room, and each file beside the rooms, may import of lagrad besides itself. "" is the
#: package itself, as its users see it.
MAY = {
    "_forking": set(),
    "core": set(),
    "weights": {"core"},
    "schedules": {"core"},
    "sets": {"core"},
    "policies": {"core"},
    "delays": {"core"},
    "chaos": set(),
    "aggregations": set(),
    "tasks": {"core"},
    "trace": {"core"},
    "checkpoints": {"core"},
    "rules": {"core"} | VALUES,
    "runtimes": {"_forking", "core", "checkpoints"} | LEAVES,
    "plots": {"core", "trace"},
    "specs": {"core"} | LEAVES,
    "_configuration": {"core", "runtimes", "specs"} | LEAVES,
    "_stability": {"core", "runtimes", "theory"} | LEAVES,
    "_train": {"core", "runtimes", "specs", "_configuration", "_stability"} | LEAVES,
    "_resume": {"core", "runtimes", "_configuration", "_train"} | LEAVES,
    "_audit": {"core", "specs", "trace", "_configuration"},
    "_progress": {"core", "runtimes", "trace"},
    "sessions": {"core", "runtimes", "specs", "_configuration"} | LEAVES,
    "theory": {"core"},
    "experiments": {"_forking", "core", "runtimes", "plots", "specs", "theory", ""} | LEAVES,
    "bench": {"_forking", "core", "runtimes", "experiments", "plots", ""} | LEAVES,
    "cli": {
        "bench",
        "",
        "specs",
        "runtimes",
        "sessions",
        "delays",
        "plots",
        "experiments",
        "_audit",
        "_forking",
        "_train",
        "_resume",
        "_progress",
    },
}
IMPURE = {"time", "random", "socket", "os", "subprocess", "threading", "multiprocessing", "io"}


def imports(file: Path) -> set[str]:
    """Absolute names of the modules, or the members of the package, that a file imports."""
    here = ["lagrad", *file.relative_to(ROOT).with_suffix("").parts]
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            # `from lagrad import rules` and `from . import _sgd` name modules, or members.
            names = origin == "lagrad" or not node.module
            found |= {f"{origin}.{alias.name}" for alias in node.names} if names else {origin}
    return found


def files(place: str) -> list[Path]:
    file = ROOT / f"{place}.py"
    return [file] if file.is_file() else sorted((ROOT / place).rglob("*.py"))


def target(name: str) -> str:
    """The room or file of lagrad that a name lies in, "" for the package itself."""
    place = name.split(".")[1] if "." in name else ""
    return place if place and files(place) else ""


@pytest.mark.parametrize("place", MAY)
def test_a_place_imports_what_it_may(place):
    assert files(place)
    for file in files(place):
        for name in imports(file):
            if name.split(".")[0] == "lagrad":
                assert target(name) in MAY[place] | {place}, f"{file.name} imports {name}"


def test_arrows_of_every_form_are_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "room").mkdir()
    file = tmp_path / "room" / "_file.py"
    forms = {
        "import lagrad": "lagrad",
        "import lagrad.core": "lagrad.core",
        "from lagrad import train": "lagrad.train",
        "from lagrad.core import Rule": "lagrad.core",
        "from .. import specs": "lagrad.specs",
        "from ..core import Rule": "lagrad.core",
        "from ._other import thing": "lagrad.room._other",
    }
    for line, name in forms.items():
        file.write_text(line)
        assert imports(file) == {name}


def module(name: str) -> Path | None:
    """The file that a name of lagrad lies in; None for what is not of lagrad."""
    top, *parts = name.split(".")
    if top != "lagrad":
        return None
    path = ROOT.joinpath(*parts)
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if parts and file.is_file():
            return file
    return path.parent / "__init__.py" if parts else ROOT / "__init__.py"


def circle() -> list[str]:
    """Files that import each other in a circle, also inside functions; empty if none do."""
    arrows = {file: {module(name) for name in imports(file)} for file in ROOT.rglob("*.py")}
    try:
        TopologicalSorter({file: ends - {None} for file, ends in arrows.items()}).prepare()
    except CycleError as error:
        return [str(file.relative_to(ROOT)) for file in error.args[1]]
    return []


def test_no_files_import_each_other_in_a_circle():
    assert circle() == []


def test_a_circle_is_found_also_where_it_hides_in_a_function(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "_one.py").write_text("from ._two import two")
    (tmp_path / "_two.py").write_text("def two():\n    from lagrad import _one\n")
    assert set(circle()) == {"_one.py", "_two.py"}


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
            "copy",
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


def test_what_is_optional_is_imported_in_one_file_each_and_in_the_peers_made_of_it():
    places = {
        "ray": {"runtimes/ray/_cluster.py", "bench/peers/_ray.py"},
        "zmq": {"runtimes/wire/_wire.py"},
        "mpi4py": {"bench/peers/_mpi_ranks.py"},
    }
    for module, allowed in places.items():
        for file in ROOT.rglob("*.py"):
            if str(file.relative_to(ROOT)) not in allowed:
                assert not any(n.split(".")[0] == module for n in imports(file)), file.name


def test_every_place_is_one_of_the_design():
    places = {path.stem for path in ROOT.iterdir()} - {"__pycache__", "__init__", "py"}
    assert places == set(MAY)
