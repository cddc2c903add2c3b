"""Names and shapes of a model's tensors on one flat vector."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """Where each named tensor of a model lies in one flat 1-D vector.

    `names[i]` occupies `shapes[i]` (row-major) from `offsets[i]`; the parts follow one another
    without gaps. Rules and transports see only the flat vector.

    names: dotted names as `nn.Module` gives them; shapes: one per name; dtype: of the vector.
    Raises: ValueError if the tensors are of several dtypes, or if there are none.

    >>> layout = Layout.of_parameters(nn.Linear(3, 2))
    >>> layout.names, layout.size
    (('weight', 'bias'), 8)
    >>> flat = torch.arange(8.0)
    >>> layout.views(flat)["bias"]
    tensor([6., 7.])
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype

    @classmethod
    def of_parameters(cls, model: nn.Module) -> "Layout":
        """The trainable parameters of `model`; tied weights appear once, frozen ones not at all."""
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        if not named:
            raise ValueError(
                "Expected a model with trainable parameters, "
                f"got {type(model).__name__} with none; check requires_grad."
            )
        dtypes = {p.dtype for _, p in named}
        if len(dtypes) > 1:
            raise ValueError(
                f"Expected parameters of one dtype, got {sorted(map(str, dtypes))}; "
                "convert the model, for instance with model.float()."
            )
        return cls(
            tuple(name for name, _ in named), tuple(tuple(p.shape) for _, p in named), dtypes.pop()
        )

    @classmethod
    def of_buffers(cls, model: nn.Module) -> "Layout":
        """The buffers that `model.state_dict()` would save, as float64.

        Counters are exact up to 2^53. A model without buffers has an empty layout of size 0.
        Raises: ValueError for complex buffers, and for integers beyond 2^53.
        """
        saved = model.state_dict(keep_vars=True)
        named = [(name, b) for name, b in model.named_buffers() if name in saved]
        for name, buffer in named:
            if buffer.is_complex() or not torch.equal(buffer.double().to(buffer.dtype), buffer):
                if buffer.is_floating_point() and bool(buffer.isnan().any()):
                    continue  # a NaN equals nothing, yet survives
                raise ValueError(
                    f"Expected buffers that float64 can hold, got {name} of {buffer.dtype}; "
                    "register it with persistent=False, or keep it outside the model."
                )
        return cls(
            tuple(name for name, _ in named), tuple(tuple(b.shape) for _, b in named), torch.float64
        )

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of elements of each part."""
        return tuple(prod(shape) for shape in self.shapes)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each part begins."""
        starts = [0]
        for size in self.sizes:
            starts.append(starts[-1] + size)
        return tuple(starts[:-1])

    @cached_property
    def size(self) -> int:
        """Number of elements of the whole vector."""
        return sum(self.sizes)

    def part(self, start: int, stop: int) -> "Layout":
        """Of the elements from `start` to `stop`; a tensor that is cut lies flat.

        >>> Layout.of_parameters(nn.Linear(3, 2)).part(4, 8)
        Layout(names=('weight', 'bias'), shapes=((2,), (2,)), dtype=torch.float32)
        """
        kept = []
        for name, shape, first, size in zip(
            self.names, self.shapes, self.offsets, self.sizes, strict=True
        ):
            length = min(stop, first + size) - max(start, first)
            if length == size:
                kept.append((name, shape))
            elif length > 0:
                kept.append((name, (length,)))
        return Layout(tuple(n for n, _ in kept), tuple(s for _, s in kept), self.dtype)

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Each part of `flat` under its name and in its shape, sharing memory with `flat`.

        Raises: ValueError if `flat` is not a vector of `size` elements.
        """
        if flat.shape != (self.size,):
            raise ValueError(
                f"Expected a vector of {self.size} elements, got {tuple(flat.shape)}; "
                "pack the tensors of this layout."
            )
        return {
            name: flat[start : start + size].view(shape)
            for name, shape, start, size in zip(
                self.names, self.shapes, self.offsets, self.sizes, strict=True
            )
        }

    def pack(self, tensors: Iterable[tuple[str, Tensor]]) -> Tensor:
        """A new flat vector of copies of the named tensors, in the layout's order and dtype."""
        named = dict(tensors)
        flat = torch.empty(self.size, dtype=self.dtype)
        for name, view in self.views(flat).items():
            view.copy_(named[name].detach())
        return flat
