"""What is written about tables: the report, and when and where they were computed."""

import json
import math
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lagrad.runtimes import write_whole

from ._experiment import Cell, Experiment, Verdict
from ._machine import processor

#: A line for each call that computed something: when, where, how long.
_COMPUTED = "computed.jsonl"


def page(
    experiment: Experiment, verdicts: Sequence[Verdict], summary: pd.DataFrame | None, out: Path
) -> str:
    """The report: verdicts, summary, figures, and when and where the tables were computed."""
    return "\n".join(
        [
            f"# {experiment.name}: {experiment.title}\n",
            *(f"- {verdict}" for verdict in verdicts),
            "",
            *([] if summary is None else _markdown(summary)),
            *(f"![{name}]({name}.png)\n" for name in experiment.figures),
            _origin(experiment, _calls(out)),
        ]
    )


def _origin(experiment: Experiment, calls: Sequence[Mapping[str, Any]]) -> str:
    """By which command, when, how long and where."""
    if not calls:
        return "When and where the tables were computed is not noted.\n"
    last, seconds = calls[-1], sum(call["seconds"] for call in calls)
    quick = " --quick" if last["quick"] else ""
    command = experiment.command or f"lagrad reproduce {experiment.name}{quick}"
    return (
        f"`{command}`, {last['date'][:10]}, {seconds:.0f} s with {last['processes']} processes on "
        f"{last['machine']}, Python {last['python']}, torch {last['torch']}.\n"
    )


def _markdown(table: pd.DataFrame) -> list[str]:
    lines = [list(table.columns), ["---"] * len(table.columns)]
    lines += [[_shown(value) for value in row] for row in table.itertuples(index=False)]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return "" if math.isnan(value) else f"{value:.4g}"


@contextmanager
def noted(out: Path, *, quick: bool, processes: int) -> Iterator[list[Cell]]:
    """One more line in `computed.jsonl`, also of a call that was stopped: what, when and where.

    Gives the list that takes the cells that were computed; no cell, no line.
    """
    began = time.monotonic()
    cells: list[Cell] = []
    try:
        yield cells
    finally:
        line = {
            "date": datetime.now().astimezone().isoformat(timespec="seconds"),
            "quick": quick,
            "cells": len(cells),
            "seconds": round(time.monotonic() - began, 1),
            "processes": processes,
            "machine": processor(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        }
        if cells:
            lines = "".join(f"{json.dumps(each)}\n" for each in [*_calls(out), line])
            write_whole(out / _COMPUTED, lines.encode())


def _calls(out: Path) -> list[dict[str, Any]]:
    """What is noted of earlier calls; a line that is none is left out."""
    if not (out / _COMPUTED).exists():
        return []
    found = []
    for line in (out / _COMPUTED).read_text(errors="replace").splitlines():
        with suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found
