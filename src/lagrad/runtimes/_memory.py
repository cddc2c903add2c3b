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
class Region:
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

    def vectors(self, *, private: bool = False) -> list[Tensor]:
        """The rows, [numel] each, with a storage of its own each: to be kept one by one.

        private: for one who reads; what it writes all the same is seen by nobody else.
        """
        file = os.open(self.path, os.O_RDWR)
        flags = mmap.MAP_PRIVATE if private else mmap.MAP_SHARED
        try:
            memory = mmap.mmap(file, self.nbytes, flags=flags)
        finally:
            os.close(file)
        step = self.stride * self.dtype.itemsize
        return [
            torch.frombuffer(memory, dtype=self.dtype, count=self.numel, offset=row * step)
            for row in range(self.rows)
        ]

    def _map(self, file: int) -> Tensor:
        memory = mmap.mmap(file, self.nbytes)
        return torch.frombuffer(memory, dtype=self.dtype).view(self.rows, -1)[:, : self.numel]


def share(node: str, rows: int, like: Tensor) -> tuple[Region, Tensor]:
    """New vectors of zeros like `like` [P]: where they lie, and themselves, [rows, P].

    The memory has no name and is gone with the processes that see it, however they end. Pages
    that nobody writes to take none.
    """
    file = os.memfd_create("lagrad")  # stays open: the path of the region leads through it
    os.fchmod(file, 0o600)  # /proc/PID/fd lets nobody else in; neither does the file
    region = Region(node, f"/proc/{os.getpid()}/fd/{file}", rows, like.numel(), like.dtype)
    try:
        os.ftruncate(file, region.nbytes)
    except OSError as error:
        os.close(file)
        raise RuntimeError(
            f"unable to make room in shared memory: {error.strerror} ({error.errno})"
        ) from error
    return region, region._map(file)


def forget(region: Region) -> None:
    """Whoever sees the memory keeps it; nobody else finds it any more. Of our own regions only."""
    os.close(int(region.path.rsplit("/", 1)[1]))


class Rows:
    """Which row of a memory holds which version, as long as somebody computes at it.

    count: above the number of workers, so that one is always free.
    """

    def __init__(self, count: int) -> None:
        self._row_of: dict[int, int] = {}
        self._free = list(range(count))
        self._users: Counter[int] = Counter()
        self._reads: dict[int, int] = {}

    def hold(self, worker: int, version: int) -> tuple[int, bool]:
        """The row of a version, the worker's until it is released; whether it is a new one."""
        self.release(worker)
        new = version not in self._row_of
        if new:
            self._row_of[version] = self._free.pop()
        self._reads[worker] = version
        self._users[version] += 1
        return self._row_of[version], new

    def row_of(self, worker: int) -> int:
        """The row that the worker has."""
        return self._row_of[self._reads[worker]]

    def release(self, worker: int) -> int | None:
        """The worker has computed, or is gone. Returns: the version that no row holds any more."""
        version = self._reads.pop(worker, None)
        if version is None:
            return None
        self._users[version] -= 1
        if self._users[version]:
            return None
        del self._users[version]
        self._free.append(self._row_of.pop(version))
        return version


class Points:
    """What workers were sent, a row for each version that somebody computes at.

    rows: [R, P] with R above the number of workers.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows
        self._held = Rows(len(rows))

    def row_of(self, worker: int) -> Tensor:
        """The point that the worker has, [P]."""
        return self.rows[self._held.row_of(worker)]

    def hold(self, worker: int, version: int, point: Tensor) -> int:
        """The row in which the worker finds the point of a version, until it is released."""
        row, new = self._held.hold(worker, version)
        if new:
            self.rows[row].copy_(point)
        return row

    def release(self, worker: int) -> None:
        """The worker has computed, or is gone."""
        self._held.release(worker)
