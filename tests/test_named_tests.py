"""Every test that a document names as the one that holds a promise is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAME = re.compile(r"\btests/[\w/]+(?:\.py(?:::\w+)*)?")


def there(name: str) -> bool:
    """Whether the file or folder is, and in it the class and function, if they are named."""
    path, *parts = name.split("::")
    if not parts or not (ROOT / path).is_file():
        return (ROOT / path).exists()
    nodes = ast.parse((ROOT / path).read_text()).body
    for part in parts:
        found = [node for node in nodes if getattr(node, "name", None) == part]
        if not found:
            return False
        nodes = getattr(found[0], "body", [])
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_tests_that_it_names_are_there(document):
    missing = [name for name in NAME.findall(document.read_text()) if not there(name)]
    assert not missing


def test_every_promise_names_what_holds_it():
    rows = [
        line
        for table in re.split(r"\n\n", (ROOT / "docs" / "guarantees.md").read_text())
        if "held by |" in table
        for line in table.splitlines()[2:]
    ]
    assert len(rows) > 30
    assert not [row for row in rows if not NAME.search(row.rsplit("|", 2)[1])]


@pytest.mark.parametrize(
    "name",
    ["tests/none.py", "tests/test_named_tests.py::none", "tests/test_named_tests.py::there::none"],
)
def test_what_is_not_there_is_missed(name):
    assert NAME.fullmatch(name)
    assert not there(name)
    assert there(name.rpartition("/")[0] if "none.py" in name else name.rpartition("::")[0])
