"""Between host memory and an accelerator: through page-locked memory, on one stream."""

from collections.abc import Sequence
from functools import cache
from math import prod

import torch
from torch import Tensor


class Staging:
    """A place on the way of some tensors to an accelerator and back.

    Only page-locked memory is copied beside the computing and at the full speed of the bus, and the
    vectors of a run lie in memory that processes share, which is not: so what comes and goes
    passes a page-locked vector. Copies are on one stream for each device, in the order in which
    they are asked for; events keep them and the computing apart.

    flat: where they arrive, a vector on a device that has streams. shapes: of its parts.
    """

    def __init__(self, flat: Tensor, shapes: Sequence[tuple[int, ...]]) -> None:
        self._device, self._dtype = flat.device, flat.dtype
        self._flat = flat
        self._host = torch.empty(flat.numel(), dtype=flat.dtype, pin_memory=True)
        self.parts, self._at_host = _split(flat, shapes), _split(self._host, shapes)
        device = flat.device
        self._stream = _stream(device)
        self._done = torch.Event(device)
        self._leaving: list[Tensor] = []

    def load(self, parts: Sequence[Tensor]) -> None:
        """Bring these, of host memory, to `flat`; what is computed from now on finds them there.

        They may be written to again at once.
        """
        self.finish()  # so that nobody reads or writes the page-locked vector
        for there, part in zip(self._at_host, parts, strict=True):
            there.copy_(part)
        computing = torch.accelerator.current_stream(self._device)
        self._stream.wait_stream(computing)  # it may still read what lies there
        with self._stream:
            self._flat.copy_(self._host, non_blocking=True)
        self._done.record(self._stream)
        computing.wait_event(self._done)

    def bring(self, place: int, tensor: Tensor) -> None:
        """Begin to bring a tensor of the device to the host, as it is computed by now.

        It is not to be written to before `finish`, unless it is brought again.
        """
        # What is converted, or put in order, is so on the device.
        ready = tensor.detach().to(self._dtype).contiguous()
        self._leaving.append(ready)
        self._stream.wait_stream(torch.accelerator.current_stream(self._device))
        with self._stream:
            self._at_host[place].copy_(ready, non_blocking=True)
        self._done.record(self._stream)

    def finish(self) -> list[Tensor]:
        """Wait for what was brought: parts in host memory, valid until the next call."""
        self._done.synchronize()
        self._leaving.clear()
        return self._at_host


def _split(flat: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    parts = torch.split(flat, [prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


@cache
def _stream(device: torch.device) -> torch.Stream:
    return torch.Stream(device)
