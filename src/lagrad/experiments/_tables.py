"""Tables that grow cell by cell and are never half-written."""

import io
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lagrad.runtimes import write_whole

from ._experiment import Cell

#: A long table is not written anew for every cell.
_SAVE_EVERY_S = 2.0

Key = tuple[str, ...]


class GrowingTable:
    """The rows of one study; what its CSV holds already is not computed again.

    path: of the CSV, or None to keep nothing. cells: the whole grid, at least one cell.
    Raises: ValueError for a file that is none of this study.
    """

    def __init__(self, path: Path | None, cells: Sequence[Cell]) -> None:
        self._path = path
        self._columns = list(cells[0])
        self._grid = [_key(cell) for cell in cells]
        assert len(set(self._grid)) == len(cells), "two cells of a grid are the same"
        self._rows: dict[Key, list[dict[str, Any]]] = {}
        self._saved_at = time.monotonic()
        if path is not None and path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        # Keys are compared as text: in a file, 1 and 1.0 in one column are no longer told apart.
        as_text: Any = dict.fromkeys(self._columns, str)
        try:
            if not path.read_bytes().endswith(b"\n"):
                raise ValueError("its last line is cut off")
            saved = pd.read_csv(path, converters=as_text)
            if not set(self._columns) <= set(saved.columns):
                raise ValueError("a column is missing")
            found = saved.groupby(self._columns, sort=False)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"Expected a table with the columns {', '.join(self._columns)}, got {path}, which "
                f"is none of this version's ({error}); remove it or give another folder."
            ) from error
        for key, rows in found:
            records: list[dict[Any, Any]] = rows.drop(columns=self._columns).to_dict("records")
            self._rows[tuple(map(str, key))] = records

    def missing(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """The cells that have yet to be computed."""
        return (cell for cell in cells if _key(cell) not in self._rows)

    def add(self, cell: Cell, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in the rows of one cell, all at once."""
        assert rows, f"cell {cell} has no rows"
        self._rows[_key(cell)] = [dict(row) for row in rows]
        if time.monotonic() - self._saved_at > _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the CSV anew, with all that is known, also of cells outside this grid."""
        self._saved_at = time.monotonic()
        if self._path is not None and self._rows:
            first = [key for key in self._grid if key in self._rows]
            others = self._rows.keys() - set(first)
            write_whole(self._path, self._text([*first, *sorted(others)]).encode())

    def frame(self) -> pd.DataFrame:
        """The rows of the grid, in its order, as they are read from their file."""
        text = self._text(key for key in self._grid if key in self._rows)
        return pd.read_csv(io.StringIO(text))

    def _text(self, keys: Iterable[Key]) -> str:
        rows = [
            {**dict(zip(self._columns, key, strict=True)), **row}
            for key in keys
            for row in self._rows[key]
        ]
        return str(pd.DataFrame(rows).to_csv(index=False))


def _key(cell: Cell) -> Key:
    return tuple(str(value) for value in cell.values())
