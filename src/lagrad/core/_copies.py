"""Copies between a vector in host memory and tensors, wherever these lie."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ._device import has_streams
from ._layout import Layout
from ._staging import Staging


class Copies:
    """The tensors of a layout, on the host or on accelerators, and a vector [P] in host memory.

    >>> copies = Copies(Layout(("a", "b"), ((2,), ()), torch.float32))
    >>> tensors = [torch.zeros(2), torch.tensor(0, dtype=torch.int64)]
    >>> copies.load(torch.tensor([1.0, 2.0, 3.0]), tensors)
    >>> tensors
    [tensor([1., 2.]), tensor(3)]
    >>> copies.collect([tensors[0], None], out := torch.empty(3))
    >>> out
    tensor([1., 2., 0.])
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._devices = [torch.device("cpu")] * len(layout.names)
        #: Of each accelerator, which tensors lie there, and how they come and go.
        self._staged: list[tuple[list[int], Staging]] = []

    @torch.no_grad()
    def load(self, flat: Tensor, tensors: Sequence[Tensor]) -> None:
        """Copy the vector's parts into the tensors."""
        parts = list(self._layout.views(flat).values())
        self._look(tensors)
        for places, staging in self._staged:
            staging.load([parts[place] for place in places])
            torch._foreach_copy_([tensors[place] for place in places], staging.parts)
        for part, tensor in zip(parts, tensors, strict=True):
            if not has_streams(tensor.device):
                tensor.copy_(part)

    @torch.no_grad()
    def collect(self, tensors: Sequence[Tensor | None], out: Tensor) -> None:
        """Copy the tensors, dense or sparse, into `out` [P]; 0 where there is none."""
        parts = list(self._layout.views(out).values())
        dense = [t.to_dense() if t is not None and t.is_sparse else t for t in tensors]
        self._look(dense)
        for places, staging in self._staged:
            for index, place in enumerate(places):
                if (tensor := dense[place]) is not None:
                    staging.bring(index, tensor)
        for part, tensor in zip(parts, dense, strict=True):
            if tensor is None:
                part.zero_()
            elif not has_streams(tensor.device):
                part.copy_(tensor)
        for places, staging in self._staged:
            for place, arrived in zip(places, staging.finish(), strict=True):
                if dense[place] is not None:
                    parts[place].copy_(arrived)

    def _look(self, tensors: Sequence[Tensor | None]) -> None:
        """Where the tensors lie now: a model may be moved."""
        devices = [
            known if tensor is None else tensor.device
            for tensor, known in zip(tensors, self._devices, strict=True)
        ]
        if devices == self._devices:
            return
        self._devices, self._staged = devices, []
        for device in dict.fromkeys(filter(has_streams, devices)):
            places = [place for place, each in enumerate(devices) if each == device]
            size = sum(self._layout.sizes[place] for place in places)
            flat = torch.empty(size, dtype=self._layout.dtype, device=device)
            shapes = [self._layout.shapes[place] for place in places]
            self._staged.append((places, Staging(flat, shapes)))
