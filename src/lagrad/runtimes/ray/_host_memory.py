"""A worker's side of the memory of its host: where copies of points are written and found."""

import torch
from torch import Tensor

from lagrad.runtimes._memory import Region, forget, share
from lagrad.runtimes.wire._messages import Brought, Spot


class HostMemory:
    """Rows like `like` [P] that the workers of this host share. node: of Ray, that the host is."""

    def __init__(self, node: str, like: Tensor) -> None:
        self._node, self._like = node, torch.empty_like(like)
        self._path = ""
        self._epoch = -1
        self._rows: Tensor | None = None
        self._made: Region | None = None

    def write(self, spot: Spot, version: int, values: Tensor) -> tuple[Tensor, Brought | None]:
        """Leave a copy of a version at its spot; the copy, and what is to be told.

        Where the memory is not found any more it is the values themselves, and nothing.
        """
        if not spot.path:
            if self._made is not None:
                forget(self._made)
            self._made, self._rows = share(self._node, spot.rows, self._like)
            self._path, self._epoch = self._made.path, spot.epoch
        row = self.read(spot)
        if row is None:
            return values, None
        row.copy_(values)
        return row, Brought(spot.epoch, version, self._path)

    def read(self, spot: Spot) -> Tensor | None:
        """What lies at a spot, [P], or None where the memory is gone with who made it."""
        if spot.epoch != self._epoch:
            like = self._like
            region = Region(self._node, spot.path, spot.rows, like.numel(), like.dtype)
            try:
                self._rows = region.open()
            except OSError:
                return None
            self._path, self._epoch = spot.path, spot.epoch
        assert self._rows is not None
        return self._rows[spot.row]
