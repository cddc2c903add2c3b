"""Vectors that processes of one host share, whoever started them."""

import mmap
import os
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

#: Rows begin at multiples of it, so that no two lie in one line of a cache, in bytes.
_LINE = 64


@dataclass(frozen=True)
class Place:
    """Where vectors of a host lie: what a process needs to see them.

    node: of Ray, that the host is. path: of the memory, while the process that made it lives.
    """

    node: str
    path: str
    rows: int
    numel: int
    dtype: torch.dtype

    @property
    def stride(self) -> int:
        """Elements from one row to the next."""
        per_line = _LINE // self.dtype.itemsize
        return -(-self.numel // per_line) * per_line

    @property
    def nbytes(self) -> int:
        """Of all rows."""
        return self.rows * self.stride * self.dtype.itemsize

    def open(self) -> Tensor:
        """The rows, [rows, numel], in shared memory."""
        file = os.open(self.path, os.O_RDWR)
        try:
            return self._map(file)
        finally:
            os.close(file)

    def _map(self, file: int) -> Tensor:
        memory = mmap.mmap(file, self.nbytes)
        return torch.frombuffer(memory, dtype=self.dtype).view(self.rows, -1)[:, : self.numel]


def share(node: str, rows: int, like: Tensor) -> tuple[Place, Tensor]:
    """New vectors of zeros like `like` [P]: where they lie, and themselves, [rows, P].

    The memory has no name and is gone with the processes that see it, however they end. Pages
    that nobody writes to take none.
    """
    file = os.memfd_create("lagrad")  # stays open: the path of the place leads through it
    os.fchmod(file, 0o600)  # /proc/PID/fd lets nobody else in; neither does the file
    place = Place(node, f"/proc/{os.getpid()}/fd/{file}", rows, like.numel(), like.dtype)
    os.ftruncate(file, place.nbytes)
    return place, place._map(file)


def forget(place: Place) -> None:
    """Whoever sees the memory keeps it; nobody else finds it any more. Of our own places only."""
    os.close(int(place.path.rsplit("/", 1)[1]))


class Points:
    """What workers were sent, a row for each version that somebody computes at.

    rows: [R, P] with R above the number of workers, so that one is always free.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows
        self._row_of: dict[int, int] = {}
        self._free = list(range(len(rows)))
        self._users: Counter[int] = Counter()
        self._reads: dict[int, int] = {}

    def hold(self, worker: int, version: int, point: Tensor) -> int:
        """The row in which the worker finds the point of a version, until it is released."""
        self.release(worker)
        if version not in self._row_of:
            row = self._free.pop()
            self.rows[row].copy_(point)
            self._row_of[version] = row
        self._reads[worker] = version
        self._users[version] += 1
        return self._row_of[version]

    def release(self, worker: int) -> None:
        """The worker has computed, or is gone."""
        version = self._reads.pop(worker, None)
        if version is None:
            return
        self._users[version] -= 1
        if not self._users[version]:
            del self._users[version]
            self._free.append(self._row_of.pop(version))
