"""Rows that workers compute at, of which the newest are the parameters themselves."""

from collections import Counter
from collections.abc import Sequence

from torch import Tensor


class ReadRows:
    """What workers compute at: rows that nobody overwrites as long as somebody does.

    rows: [P] each. Those of the parameters themselves take one more than there are workers; where
    workers are sent other points, one more of them is kept.
    """

    def __init__(self, rows: Sequence[Tensor]) -> None:
        self.rows = rows
        self._newest: int | None = None
        self._ahead: int | None = None
        self._row_of: dict[int, int] = {}
        self._free = list(reversed(range(len(rows))))
        self._readers: Counter[int] = Counter()
        self._reads: dict[int, int] = {}

    @property
    def newest(self) -> Tensor:
        """The row of the parameters, after the first `renew`."""
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

    def ahead(self) -> Tensor:
        """A row for a point apart from the parameters, which nobody else is given until the next.

        Not the one before, as long as somebody computes there.
        """
        if self._ahead is None or self._readers[self._ahead]:
            self._ahead = self._free.pop()
        return self.rows[self._ahead]

    def hold(self, worker: int, version: int, point: Tensor) -> int:
        """The row in which the worker finds the point of a version, until it is released.

        The very row where the point lies in that of the parameters or ahead of them, else a copy.
        """
        self.release(worker)
        homes = (self._newest, self._ahead)
        row = next((at for at in homes if at is not None and point is self.rows[at]), None)
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
        if not self._readers[row] and row not in (self._newest, self._ahead):
            self._free.append(row)
            self._row_of = {version: at for version, at in self._row_of.items() if at != row}
