"""Rows that workers compute at, of which the newest are the parameters themselves."""

from collections import Counter
from collections.abc import Sequence

from torch import Tensor


class ReadRows:
    """What workers compute at: rows that nobody overwrites as long as somebody does.

    rows: [P] each. Those of the parameters themselves take one more than there are workers; where
    workers are sent other points, these take as many as there are workers besides.
    """

    def __init__(self, rows: Sequence[Tensor]) -> None:
        self.rows = rows
        self._newest: int | None = None
        self._row_of: dict[int, int] = {}
        self._free = list(reversed(range(len(rows))))
        self._readers: Counter[int] = Counter()
        self._reads: dict[int, int] = {}

    @property
    def newest(self) -> Tensor:
        """The row of the parameters, once there has been a `renew`."""
        assert self._newest is not None
        return self.rows[self._newest]

    @property
    def readers(self) -> int:
        """How many workers compute now."""
        return len(self._reads)

    def renew(self) -> tuple[Tensor, Tensor]:
        """(The row of the parameters, the row for the next): one row if nobody computes at it."""
        before = self._newest
        if before is None or self._readers[before]:
            self._newest = self._free.pop()
        after = self.newest
        return (after if before is None else self.rows[before]), after

    def hold(self, worker: int, version: int, point: Tensor) -> int:
        """The row in which the worker finds the point of a version, until it is released.

        The row of the parameters where the point is that very tensor, else a copy.
        """
        self.release(worker)
        row = self._newest if self._newest is not None and point is self.newest else None
        if row is None:
            row = self._row_of.get(version)
        if row is None:
            row = self._row_of[version] = self._free.pop()
            self.rows[row].copy_(point)
        self._reads[worker] = row
        self._readers[row] += 1
        return row

    def release(self, worker: int) -> None:
        """The worker has computed, or is gone."""
        row = self._reads.pop(worker, None)
        if row is None:
            return
        self._readers[row] -= 1
        if not self._readers[row] and row != self._newest:
            self._free.append(row)
            self._row_of = {version: at for version, at in self._row_of.items() if at != row}
