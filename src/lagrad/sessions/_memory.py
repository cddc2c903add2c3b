"""The memory that a script's process shares with the server: a file that both have mapped."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lagrad.runtimes import Letter, Pulse

from ._messages import Described

#: Parts begin at multiples of this many bytes.
_ALIGNMENT = 64


@dataclass(frozen=True)
class Memory:
    """Vectors in one shared file.

    point: [P], where to differentiate. gradient: [P]. trained: [P], the evaluated parameters.
    buffers, pushed, trained_buffers: [B] float64: sent, after the forward pass, and of `trained`.
    pulse: by which the script's process shows that it lives.
    """

    point: Tensor
    gradient: Tensor
    trained: Tensor
    buffers: Tensor
    pushed: Tensor
    trained_buffers: Tensor
    pulse: Pulse

    @classmethod
    def map(cls, path: Path, *, parameters: int, dtype: torch.dtype, buffers: int) -> "Memory":
        """Map the file, made if it is not there, for so many elements.

        Raises: OSError where there is no room for them.
        """
        wanted = [(parameters, dtype)] * 3 + [(buffers, torch.float64)] * 3 + [(3, torch.int64)]
        sizes = [_rounded(count * kind.itemsize) for count, kind in wanted]
        if hasattr(os, "posix_fallocate"):  # elsewhere than on macOS
            _reserve(path, sum(sizes))
        whole = torch.from_file(str(path), shared=True, size=sum(sizes), dtype=torch.uint8)
        parts, start = [], 0
        for (count, kind), size in zip(wanted, sizes, strict=True):
            parts.append(whole[start : start + count * kind.itemsize].view(kind))
            start += size
        point, gradient, trained, sent, pushed, trained_buffers, signs = parts
        return cls(point, gradient, trained, sent, pushed, trained_buffers, Pulse(signs))

    @classmethod
    def described(cls, path: Path, described: Described) -> "Memory":
        """Map the file for the model that a script has described."""
        return cls.map(
            path,
            parameters=sum(map(math.prod, described.shapes)),
            dtype=getattr(torch, described.dtype),
            buffers=sum(map(math.prod, described.buffer_shapes)),
        )

    @property
    def point_parts(self) -> tuple[Tensor, Tensor]:
        """What goes to a worker with a job."""
        return self.point, self.buffers

    @property
    def pushed_parts(self) -> tuple[Tensor, Tensor]:
        """What comes from a worker that has done it."""
        return self.gradient, self.pushed

    @property
    def trained_parts(self) -> tuple[Tensor, Tensor]:
        """What goes to a worker that has asked for it, or has to stop."""
        return self.trained, self.trained_buffers

    @staticmethod
    def take(letter: Letter, *parts: Tensor) -> None:
        """Copy a letter's tensors into these, in their order. Raises: ValueError for others."""
        for index, part in enumerate(parts):
            if part.numel():
                part.copy_(letter.tensor(index, part.dtype, part.numel()))


def _reserve(path: Path, size: int) -> None:
    # What is only mapped would kill the process that writes to it when memory runs out.
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(file, 0, size)
    finally:
        os.close(file)


def _rounded(size: int) -> int:
    return max(1, -(-size // _ALIGNMENT)) * _ALIGNMENT
