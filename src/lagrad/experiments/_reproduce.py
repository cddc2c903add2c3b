"""Carry an experiment out: compute what is missing, then draw and judge."""

import json
import math
import multiprocessing
import platform
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lagrad.runtimes import write_whole

from ._experiment import Cell, Experiment, Study, Verdict
from ._machine import processor
from ._tables import GrowingTable

#: A line for each call that computed something: when, where, how long.
_COMPUTED = "computed.jsonl"

#: Makes a context manager from a title and a number of cells; what it gives is called per cell.
Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@dataclass(frozen=True)
class Reproduction:
    """What came out: the tables by study, the figures' files, the verdicts in words."""

    tables: dict[str, pd.DataFrame]
    figures: tuple[Path, ...]
    verdicts: tuple[Verdict, ...]


def reproduce(
    experiment: Experiment,
    out: Path,
    *,
    quick: bool,
    processes: int,
    progress: Progress,
) -> Reproduction:
    """Compute the cells that `out` does not hold yet; write tables, figures and verdicts there.

    out: a folder, new or of an earlier call, which goes on where that one stopped. processes: >= 1.
    Raises: ValueError if the folder holds tables of something else; KeyboardInterrupt on Ctrl+C,
    with the cells finished by then in their tables.
    """
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    tables: dict[str, pd.DataFrame] = {}
    computed = 0
    with _pool(processes) as pool:
        for study in experiment.studies:
            cells = study.cells(quick, tables)
            table = GrowingTable(out / f"{study.name}.csv", cells)
            missing = list(table.missing(cells))
            computed += len(missing)
            with progress(f"{experiment.name}: {study.name}", len(missing)) as advance:
                try:
                    _compute(study, missing, pool, table, advance)
                finally:
                    table.save()
            tables[study.name] = table.frame()
    figures = tuple(
        draw(tables, out / f"{name}.{suffix}")
        for name, draw in experiment.figures.items()
        for suffix in ("png", "svg")
    )
    verdicts = tuple(experiment.verdicts(tables))
    if experiment.summary is not None:
        tables["summary"] = experiment.summary(tables)
        write_whole(out / "summary.csv", tables["summary"].to_csv(index=False).encode())
    if computed:
        _note(out, quick=quick, processes=processes, cells=computed, began=began)
    write_whole(out / "report.md", _page(experiment, verdicts, tables.get("summary"), out).encode())
    return Reproduction(tables, figures, verdicts)


def tables(experiment: Experiment, *, quick: bool) -> dict[str, pd.DataFrame]:
    """The tables alone, computed in this process; nothing is written."""
    found: dict[str, pd.DataFrame] = {}
    for study in experiment.studies:
        cells = study.cells(quick, found)
        table = GrowingTable(None, cells)
        for cell in cells:
            table.add(cell, study.compute(**cell))
        found[study.name] = table.frame()
    return found


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are started when they are needed, and killed if anything goes wrong."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin_process)
    try:
        yield pool
    except BaseException:
        # A run of lagrad in one of them would take a gentler signal as its own, and go on.
        for process in list((pool._processes or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _compute(
    study: Study,
    cells: Sequence[Cell],
    pool: ProcessPoolExecutor,
    table: GrowingTable,
    advance: Callable[[], None],
) -> None:
    waiting: dict[Future[Any], Cell] = {pool.submit(study.compute, **cell): cell for cell in cells}
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            table.add(waiting.pop(future), future.result())
            advance()


def _begin_process() -> None:
    # Ctrl+C reaches every process of the terminal; the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _page(
    experiment: Experiment, verdicts: Sequence[Verdict], summary: pd.DataFrame | None, out: Path
) -> str:
    """The report: verdicts, summary, figures, and when and where the tables were computed."""
    calls = [json.loads(line) for line in (out / _COMPUTED).read_text().splitlines()]
    seconds = sum(call["seconds"] for call in calls)
    last = calls[-1]
    quick = " --quick" if last["quick"] else ""
    command = experiment.command or f"lagrad reproduce {experiment.name}{quick}"
    return "\n".join(
        [
            f"# {experiment.name}: {experiment.title}\n",
            *(f"- {verdict}" for verdict in verdicts),
            "",
            *([] if summary is None else _markdown(summary)),
            *(f"![{name}]({name}.png)\n" for name in experiment.figures),
            f"`{command}`, {last['date'][:10]}, {seconds:.0f} s with {last['processes']} "
            f"processes on {last['machine']}, Python {last['python']}, torch {last['torch']}.\n",
        ]
    )


def _markdown(table: pd.DataFrame) -> list[str]:
    lines = [list(table.columns), ["---"] * len(table.columns)]
    lines += [[_shown(value) for value in row] for row in table.itertuples(index=False)]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return "" if math.isnan(value) else f"{value:.4g}"


def _note(out: Path, *, quick: bool, processes: int, cells: int, began: float) -> None:
    """One more line in `computed.jsonl`: what this call added, when and where."""
    line = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "quick": quick,
        "cells": cells,
        "seconds": round(time.monotonic() - began, 1),
        "processes": processes,
        "machine": processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    with (out / _COMPUTED).open("a") as file:
        file.write(json.dumps(line) + "\n")
