"""Tables that grow cell by cell and are never half-written."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lagrad.runtimes import write_whole

from ._experiment import Cell

#: A long table is not written anew for every cell.
_SAVE_EVERY_S = 2.0


class GrowingTable:
    """The rows of one study; what its CSV holds already is not computed again.

    path: of the CSV, or None to keep nothing. cells: the whole grid.
    Raises: ValueError for a file that is none of this study.
    """

    def __init__(self, path: Path | None, cells: Sequence[Cell]) -> None:
        self._path = path
        self._order = {_key(cell): number for number, cell in enumerate(cells)}
        assert len(self._order) == len(cells), "two cells of a grid are the same"
        self._keys = list(cells[0])
        self._rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        self._saved_at = time.monotonic()
        if path is not None and path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            saved = pd.read_csv(path, float_precision="round_trip")
            found = saved.groupby(self._keys, sort=False, dropna=False)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"Expected a table with the columns {', '.join(self._keys)}, got {path}, which is "
                f"none of this version's ({error}); remove it or give another folder."
            ) from error
        for key, rows in found:
            records: list[dict[Any, Any]] = rows.to_dict("records")
            self._rows[key if isinstance(key, tuple) else (key,)] = records

    def missing(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """The cells that have yet to be computed."""
        return (cell for cell in cells if _key(cell) not in self._rows)

    def add(self, cell: Cell, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in the rows of one cell, all at once."""
        assert rows, f"cell {cell} has no rows"
        self._rows[_key(cell)] = [{**cell, **row} for row in rows]
        if time.monotonic() - self._saved_at > _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the CSV anew, with all that is known, also of cells outside this grid."""
        self._saved_at = time.monotonic()
        if self._path is not None and self._rows:
            ends = len(self._order)
            keys = sorted(self._rows, key=lambda key: self._order.get(key, ends))
            write_whole(
                self._path, _frame(self._rows[key] for key in keys).to_csv(index=False).encode()
            )

    def frame(self) -> pd.DataFrame:
        """The rows of the grid, in its order."""
        return _frame(self._rows[key] for key in self._order if key in self._rows)


def _key(cell: Cell) -> tuple[Any, ...]:
    return tuple(cell.values())


def _frame(rows: Iterable[list[dict[str, Any]]]) -> pd.DataFrame:
    return pd.DataFrame([row for some in rows for row in some])
