"""Entrants measured in turns (A B A B), and what is said of them: medians, spreads, the machine."""

import datetime
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import lagrad
from lagrad.experiments import processor

from .peers import versions

#: One line of a result: one figure a key, with its unit in the key.
Row = dict[str, str | int | float]


def in_turns(entrants: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """What each entrant measured, once in each round, so that a noisy moment hits all alike.

    entrants: name -> a measurement that gives its figure. rounds: >= 1.
    Raises: ValueError for no round.

    >>> in_turns({"a": lambda: 1.0, "b": lambda: 2.0}, rounds=2)
    {'a': [1.0, 1.0], 'b': [2.0, 2.0]}
    """
    if rounds < 1:
        raise ValueError(f"Expected at least 1 round, got {rounds}; raise it.")
    found: dict[str, list[float]] = {name: [] for name in entrants}
    for _ in range(rounds):
        for name, measurement in entrants.items():
            found[name].append(measurement())
    return found


def spread(name: str, figures: list[float]) -> Row:
    """The median under `name`, the lowest and the highest beside it; four digits of each.

    >>> spread("seconds", [3.0, 1.0, 2.00004])
    {'seconds': 2.0, 'seconds_lowest': 1.0, 'seconds_highest': 3.0}
    """
    return {
        name: digits(statistics.median(figures)),
        f"{name}_lowest": digits(min(figures)),
        f"{name}_highest": digits(max(figures)),
    }


def digits(figure: float) -> float:
    """The figure to four significant digits.

    >>> digits(118073.5), digits(0.212849)
    (118100.0, 0.2128)
    """
    return float(f"{figure:.4g}")


def record(name: str, rows: list[Row], folder: Path, *, command: str) -> Path:
    """Write the rows, with date, machine and versions, to FOLDER/NAME-DATE.json; that path.

    The versions of the peers, too, where the rows speak of systems.
    """
    today = datetime.date.today().isoformat()
    content = {
        "benchmark": name,
        "command": command,
        "date": today,
        "machine": processor(),
        "load_average_1_min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lagrad": lagrad.__version__,
        **(versions() if any("system" in row for row in rows) else {}),
        "figures": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{today}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a table in Markdown, a column for each key.

    >>> print(table([{"workers": 4, "events_per_s": 9.5}]))
    | workers | events per s |
    |---|---|
    | 4 | 9.5 |
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [[key.replace("_", " ") for key in keys], None]
    lines += [[str(row.get(key, "")) for key in keys] for row in rows]
    rule = "|" + "---|" * len(keys)
    return "\n".join(rule if line is None else f"| {' | '.join(line)} |" for line in lines)
