"""Entrants measured in turns (A B A B), and what is said of them: medians, spreads, the machine."""

import datetime
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

import lagrad
from lagrad.experiments import processor
from lagrad.runtimes import finite

from .peers import PEERS, versions

Measurement = TypeVar("Measurement")

#: One line of a result: one figure a key, with its unit in the key; None for what never came.
Row = dict[str, str | int | float | None]


def in_turns(
    entrants: Mapping[str, Callable[[], Measurement]], *, rounds: int
) -> dict[str, list[Measurement]]:
    """What each entrant measured, once in each round, so that a noisy moment hits all alike.

    entrants: name -> a measurement. rounds: >= 1. Whose turn it is is shown in a terminal; it is
    drawn between the measurements, which it would disturb.
    Raises: ValueError for no round.

    >>> in_turns({"a": lambda: 1.0, "b": lambda: 2.0}, rounds=2)
    {'a': [1.0, 1.0], 'b': [2.0, 2.0]}
    """
    if rounds < 1:
        raise ValueError(f"Expected at least 1 round, got {rounds}; raise it.")
    found: dict[str, list[Measurement]] = {name: [] for name in entrants}
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(
        *columns,
        auto_refresh=False,
        transient=True,
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        bar = progress.add_task("", total=rounds * len(entrants))
        for number in range(1, rounds + 1):
            for name, measurement in entrants.items():
                progress.update(bar, description=f"{name}, round {number} of {rounds}")
                progress.refresh()
                found[name].append(measurement())
                progress.advance(bar)
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


def digits(figure: float) -> float | None:
    """The figure to four significant digits, None if it is not finite.

    >>> digits(118073.5), digits(0.212849)
    (118100.0, 0.2128)
    """
    return finite(float(f"{figure:.4g}"))


def record(name: str, figures: list[Row] | dict[str, Any], folder: Path, *, command: str) -> Path:
    """Write the figures, with date, machine and versions, to FOLDER/NAME-DATE.json; that path.

    The versions of the peers, too, where rows speak of them.
    """
    today = datetime.date.today().isoformat()
    rows = figures if isinstance(figures, list) else []
    content = {
        "benchmark": name,
        "command": command,
        "date": today,
        "machine": processor(),
        "load_average_1_min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lagrad": lagrad.__version__,
        **(versions() if any(row.get("system") in PEERS for row in rows) else {}),
        "figures": figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{today}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown: a table for each set of keys, then who was left out and why.

    A figure with its lowest and highest takes one column.

    >>> print(table([{"workers": 4, "events_per_s": 9.5, "events_per_s_lowest": 9.0,
    ...     "events_per_s_highest": 12.0}, {"system": "mpi", "left_out": "not installed"}]))
    | workers | events per s |
    |---|---|
    | 4 | 9.5 (9 to 12) |
    <BLANKLINE>
    Left out: mpi, not installed.
    """
    by_keys: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    left_out: list[str] = []
    for row in rows:
        if "left_out" in row:
            left_out.append(f"{row['system']}, {row['left_out']}")
        else:
            by_keys.setdefault(tuple(row), []).append(row)
    parts = [_table(alike) for alike in by_keys.values()]
    if left_out:
        parts.append(f"Left out: {'; '.join(dict.fromkeys(left_out))}.")
    return "\n\n".join(parts)


def _table(rows: list[dict[str, Any]]) -> str:
    keys = [key for key in rows[0] if not key.endswith(("_lowest", "_highest"))]
    lines = ["| " + " | ".join(key.replace("_", " ") for key in keys) + " |"]
    lines.append("|" + "---|" * len(keys))
    lines += ["| " + " | ".join(_cell(row, key) for key in keys) + " |" for row in rows]
    return "\n".join(lines)


def _cell(row: dict[str, Any], key: str) -> str:
    if f"{key}_lowest" not in row:
        return _words(row[key])
    lowest, highest = row[f"{key}_lowest"], row[f"{key}_highest"]
    if row[key] == lowest == highest:
        return _words(lowest)
    return f"{_words(row[key])} ({_words(lowest)} to {_words(highest)})"


def _words(value: object) -> str:
    """Numbers to four digits, thousands apart: what is read, not computed with."""
    if value is None:
        return "not reached"
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
