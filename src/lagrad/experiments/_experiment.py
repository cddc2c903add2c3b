"""What an experiment is: grids of cells that are computed one by one, and what is made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

#: One point of a grid: the values of the key columns, which name the cell for ever.
Cell = Mapping[str, str | int | float]
#: Tables of an experiment so far, by the name of their study.
Tables = Mapping[str, pd.DataFrame]
#: Draws one figure from the tables to a path, whose suffix names the format.
Draw = Callable[[Tables, Path], Path]


@dataclass(frozen=True)
class Study:
    """One table: a grid of cells, each computed by itself, in any process, in any order.

    name: of the table and its CSV. cells: the grid, given whether it is to be quick and the tables
    of the studies before this one (a report needs what was tuned). compute: called with a cell's
    values as keywords, in a process of its own; returns the cell's rows, at least one, without the
    key columns. It must be a function at the top level of a module, and a pure one.
    """

    name: str
    cells: Callable[[bool, Tables], Sequence[Cell]]
    compute: Callable[..., Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Verdict:
    """A claim, whether the tables bear it out, and the figures that say so.

    holds: None where the tables cannot decide.
    """

    claim: str
    holds: bool | None
    evidence: str

    def __str__(self) -> str:
        word = {True: "holds", False: "does not hold", None: "undecided"}[self.holds]
        return f"**{self.claim}** {word.capitalize()}: {self.evidence}"


@dataclass(frozen=True)
class Experiment:
    """Studies, one after the other; then figures and verdicts, from their tables alone.

    name: on the command line. title: one line. figures: by the name of the file, without suffix.
    summary: one more table, made of the others, that is shown in the report, or None. command: that
    carries the experiment out, "" for `lagrad reproduce NAME`.
    """

    name: str
    title: str
    studies: tuple[Study, ...]
    figures: Mapping[str, Draw]
    verdicts: Callable[[Tables], Sequence[Verdict]]
    summary: Callable[[Tables], pd.DataFrame] | None = None
    command: str = ""
