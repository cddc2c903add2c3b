"""Carry an experiment out: compute what is missing, then draw and judge."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout

from lagrad._forking import forking
from lagrad.runtimes import write_whole

from ._experiment import Cell, Experiment, Study, Verdict
from ._report import noted, page
from ._tables import GrowingTable

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
    with _alone_in(out):
        return _reproduce(experiment, out, quick=quick, processes=processes, progress=progress)


def _reproduce(
    experiment: Experiment, out: Path, *, quick: bool, processes: int, progress: Progress
) -> Reproduction:
    tables: dict[str, pd.DataFrame] = {}
    with noted(out, quick=quick, processes=processes) as computed, _pool(processes) as pool:
        for study in experiment.studies:
            cells = study.cells(quick, tables)
            table = GrowingTable(out / f"{study.name}.csv", cells)
            missing = list(table.missing(cells))
            with progress(f"{experiment.name}: {study.name}", len(missing)) as advance:
                try:
                    for cell, rows in _computed(study, missing, pool):
                        table.add(cell, rows)
                        computed.append(cell)
                        advance()
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
    write_whole(out / "report.md", page(experiment, verdicts, tables.get("summary"), out).encode())
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
    pool = ProcessPoolExecutor(
        processes,
        mp_context=forking(__name__),
        initializer=_begin_process,
        initargs=(dict(os.environ),),  # of now; whom they are forked from has that of its start
    )
    try:
        yield pool
    except BaseException:
        # A run of lagrad in one of them would take a gentler signal as its own, and go on.
        for process in list((pool._processes or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _computed(
    study: Study, cells: Sequence[Cell], pool: ProcessPoolExecutor
) -> Iterator[tuple[Cell, Sequence[Mapping[str, Any]]]]:
    """Cells with their rows, as they are finished."""
    waiting: dict[Future[Any], Cell] = {pool.submit(study.compute, **cell): cell for cell in cells}
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield waiting.pop(future), future.result()


def _begin_process(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    # Ctrl+C reaches every process of the terminal; the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its processes; they end themselves."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    lock = FileLock(out / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"Expected a folder in which nobody else computes, got {out}; wait for the other "
            "call, or give another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()
