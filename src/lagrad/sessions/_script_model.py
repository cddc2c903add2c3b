"""A script's model as the books of a run know it: no code, only names, shapes and values."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lagrad.core import Layout

from ._messages import Described


class ScriptModel:
    """What the first worker told of its model.

    state: the file with its whole state dict. num_samples: None for batches of the script's own;
    known when a worker begins.
    Raises: ValueError for a description that is none of the state in the file.
    """

    def __init__(self, described: Described, state: Path) -> None:
        self.described = described
        self.num_samples: int | None = None
        self.layout = Layout(described.names, described.shapes, getattr(torch, described.dtype))
        self.buffer_layout = Layout(described.buffer_names, described.buffer_shapes, torch.float64)
        try:
            self._state = load_file(state)
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"Expected the state of a model in {state}, got none that can be read ({error}); "
                "let the script call lagrad.join() once, in its main process."
            ) from error
        self._require_described()
        self._params = self._packed(self.layout)
        self._buffers = self._packed(self.buffer_layout)

    def _require_described(self) -> None:
        told = self.described
        at = {home: key for key, home in told.homes.items()}
        for layout in (self.layout, self.buffer_layout):
            for name, shape in zip(layout.names, layout.shapes, strict=True):
                value = self._state.get(at.get(name, ""))
                if value is None or tuple(value.shape) != shape:
                    raise ValueError(
                        f"Expected {name} of shape {shape} in the model's state, got "
                        f"{None if value is None else tuple(value.shape)}; "
                        "build the model before session.optimizer(...), and leave it as it is."
                    )
        if len(told.counters) != self.buffer_layout.size:
            raise ValueError(
                f"Expected {self.buffer_layout.size} marks of counters, got {len(told.counters)}; "
                "all processes of a run need the same version of lagrad."
            )

    def _packed(self, layout: Layout) -> Tensor:
        at = {home: key for key, home in self.described.homes.items()}
        return layout.pack((name, self._state[at[name]]) for name in layout.names)

    def initial_params(self) -> Tensor:
        """Where training starts, [P]; new."""
        return self._params.clone()

    def initial_buffers(self) -> Tensor:
        """The buffers at the start, [B] float64; new."""
        return self._buffers.clone()

    def buffer_counters(self) -> Tensor:
        """Which elements of the buffers are integers in the model: bool [B]."""
        return torch.tensor(self.described.counters, dtype=torch.bool)

    def state_dict(self, point: Tensor, buffers: Tensor) -> dict[str, Tensor]:
        """The whole model at `point`, frozen parts included; copies."""
        parts = self.layout.views(point) | self.buffer_layout.views(buffers)
        homes = self.described.homes
        return {
            key: (parts[homes[key]].to(value.dtype) if key in homes else value).clone()
            for key, value in self._state.items()
        }

    def recalibrate(self, point: Tensor) -> Tensor:
        """Never asked of a script's model, whose data are in other processes."""
        raise RuntimeError(f"No data are here to recalibrate {point.numel()} parameters with.")

    def require_same(self, other: Described) -> None:
        """Refuse another model or rule. Raises: ValueError saying what differs."""
        for what, ours, theirs in (
            ("parameters", self.described.names, other.names),
            ("shapes", self.described.shapes, other.shapes),
            ("dtype", self.described.dtype, other.dtype),
            ("buffers", self.described.buffer_shapes, other.buffer_shapes),
            ("rule", self.described.rule, other.rule),
            ("groups", self.described.groups, other.groups),
            ("frozen parameters (seed the script)", self.described.fixed, other.fixed),
        ):
            if ours != theirs:
                raise ValueError(
                    f"Expected the same {what} in every process, got {_short(theirs)} where "
                    f"another has {_short(ours)}; build the same model and rule on all workers."
                )


def _short(thing: object) -> str:
    text = repr(thing)
    return text if len(text) < 200 else f"{text[:200]}..."
