"""Errors that say what was expected and what came also say what to do."""

import ast
from pathlib import Path

import pytest

import lagrad

ROOT = Path(lagrad.__file__).parent
ROOMS = (
    *(
        "aggregations",
        "chaos",
        "checkpoints",
        "core",
        "delays",
        "experiments",
        "plots",
        "policies",
        "rules",
        "runtimes",
    ),
    *("schedules", "sets", "tasks", "theory", "trace", "weights"),
)
FILES = [file for room in ROOMS for file in sorted((ROOT / room).glob("_*.py"))]
FILES += [
    ROOT / "specs.py",
    ROOT / "_train.py",
    ROOT / "_audit.py",
    ROOT / "_configuration.py",
    ROOT / "_resume.py",
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_refusal_says_what_to_do(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            kind, message = ast.unparse(node.exc.func), ast.unparse(node.exc.args[0])
            if kind in {"ValueError", "TypeError"} and "Expected" in message:
                assert ";" in message, f"line {node.lineno}: {message}"
