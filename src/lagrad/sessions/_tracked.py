"""A script's model as the server sees it: one flat vector of parameters, one of buffers."""

from collections import Counter
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from lagrad.core import Copies, Layout
from lagrad.trace import digest


class Tracked:
    """The trainable parameters and the saved buffers of a model, packed and loaded.

    Parameters travel in the widest of their dtypes and float32, so that the server keeps a whole
    copy of those in 16 bits, in which a small step would be rounded away. Tied weights appear once,
    frozen ones not at all. layout: [P]. buffer_layout: [B] float64.
    Raises: ValueError for a model without trainable parameters, or buffers that do not fit.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        if not named:
            raise ValueError(
                "Expected a model with trainable parameters, "
                f"got {type(model).__name__} with none; check requires_grad."
            )
        self.parameters = [parameter for _, parameter in named]
        self.layout = Layout(
            tuple(name for name, _ in named),
            tuple(tuple(p.shape) for p in self.parameters),
            reduce(torch.promote_types, (p.dtype for p in self.parameters), torch.float32),
        )
        self.buffer_layout = Layout.of_buffers(model)
        self._copies, self._buffer_copies = Copies(self.layout), Copies(self.buffer_layout)
        self._noted: list[tuple[Tensor | None, tuple[int, int] | None]] = []

    def arrange(self, groups: Sequence[Sequence[nn.Parameter]]) -> tuple[int, ...]:
        """Let the parameters of each group lie together, in this order; how many elements each has.

        Raises: ValueError where a trainable parameter is in no group or in two, or another is.
        """
        names = {id(p): name for name, p in zip(self.layout.names, self.parameters, strict=True)}
        given = [parameter for group in groups for parameter in group]
        if any(id(parameter) not in names for parameter in given):
            raise ValueError(
                "Expected groups of the wrapped model's trainable parameters, got another tensor; "
                "wrap the model that the groups are of, and leave frozen parameters out."
            )
        counts = Counter(id(parameter) for parameter in given)
        wrong = sorted(name for key, name in names.items() if counts[key] != 1)
        if wrong:
            raise ValueError(
                f"Expected each trainable parameter in one group, got {', '.join(wrong)} in "
                "none or in several; put it in one, or freeze it before session.wrap(model)."
            )
        self.parameters = given
        self.layout = Layout(
            tuple(names[id(p)] for p in given),
            tuple(tuple(p.shape) for p in given),
            self.layout.dtype,
        )
        self._copies = Copies(self.layout)
        return tuple(sum(p.numel() for p in group) for group in groups)

    def require_unchanged(self) -> None:
        """Refuse a model whose trainable parameters are not those that it was wrapped with."""
        now = [p for p in self.model.parameters() if p.requires_grad]
        shapes = dict(zip(map(id, self.parameters), self.layout.shapes, strict=True))
        same = len(now) == len(self.parameters) and all(
            id(p) in shapes and tuple(p.shape) == shapes[id(p)] for p in now
        )
        if not same:
            raise RuntimeError(
                "Expected the trainable parameters that the model had when it was wrapped, got "
                f"others ({len(now)} for {len(self.parameters)}, or replaced or reshaped ones); "
                "freeze, convert and change the model before session.wrap(model)."
            )

    def counters(self) -> tuple[bool, ...]:
        """Of each element of the buffers, whether it is an integer in the model."""
        return tuple(
            not buffer.is_floating_point()
            for buffer, size in zip(self._buffers(), self.buffer_layout.sizes, strict=True)
            for _ in range(size)
        )

    def homes(self) -> dict[str, str]:
        """Of each entry of the state dict that changes in training, who holds it here."""
        holders = {id(p): name for name, p in zip(self.layout.names, self.parameters, strict=True)}
        own = {name: name for name in self.buffer_layout.names}
        state = self.model.state_dict(keep_vars=True)
        return own | {k: holders[id(v)] for k, v in state.items() if id(v) in holders}

    def fixed(self) -> str:
        """A digest of the state dict's entries that nobody trains: frozen parameters."""
        homes, state = self.homes(), self.model.state_dict()
        kept = [digest(value) for name, value in sorted(state.items()) if name not in homes]
        return " ".join(kept)

    def pack(self) -> Tensor:
        """The parameters, [P]; new."""
        out = torch.empty(self.layout.size, dtype=self.layout.dtype)
        self._copies.collect(self.parameters, out)
        return out

    def pack_buffers(self) -> Tensor:
        """The buffers, [B] float64; new."""
        out = torch.empty(self.buffer_layout.size, dtype=torch.float64)
        self._buffer_copies.collect(self._buffers(), out)
        return out

    def collect_gradients(self, out: Tensor) -> None:
        """Write the gradients into `out` [P]; 0 where there is none."""
        self.note_gradients()
        self._copies.collect([parameter.grad for parameter in self.parameters], out)

    def note_gradients(self) -> None:
        """Those that are in the model now do not wait any more."""
        self._noted = [(p.grad, _state(p.grad)) for p in self.parameters]

    def holds_gradients(self) -> bool:
        """Whether a gradient waits in the model: not noted before, finite, and not all zero."""
        if [_state(p.grad) for p in self.parameters] == [state for _, state in self._noted]:
            return False
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        finite = all(bool(torch.isfinite(g).all()) for g in gradients)
        return finite and any(bool(g.any()) for g in gradients)

    def load(self, params: Tensor, buffers: Tensor) -> None:
        """Set the model's parameters and buffers, wherever they lie."""
        self._copies.load(params, self.parameters)
        self._buffer_copies.load(buffers, self._buffers())

    def _buffers(self) -> list[Tensor]:
        # Looked up each time: a module may replace a buffer instead of writing into it.
        named = dict(self.model.named_buffers())
        return [named[name] for name in self.buffer_layout.names]


def _state(gradient: Tensor | None) -> tuple[int, int] | None:
    """Which tensor it is, and how often it was written; the tensor must be kept alive."""
    return None if gradient is None else (id(gradient), gradient._version)
