"""What the books of a run must know of the model that is trained."""

from typing import Protocol

from torch import Tensor

from lagrad.core import Layout


class Trainee(Protocol):
    """A model by its names, shapes and initial values; see `lagrad.tasks.Differentiator`."""

    @property
    def layout(self) -> Layout:
        """Of the trainable parameters."""
        ...

    @property
    def num_samples(self) -> int | None:
        """Size of the data set, or None for a stream."""
        ...

    def initial_params(self) -> Tensor:
        """Where training starts, [P]; a new tensor."""
        ...

    def initial_buffers(self) -> Tensor:
        """The buffers at the start, [B] float64; a new tensor."""
        ...

    def buffer_counters(self) -> Tensor:
        """Which elements of the buffers are integers in the model: bool [B]."""
        ...

    def state_dict(self, point: Tensor, buffers: Tensor) -> dict[str, Tensor]:
        """The whole model at `point`, as `nn.Module.load_state_dict` takes it; copies."""
        ...

    def recalibrate(self, point: Tensor) -> Tensor:
        """Buffers with BatchNorm's statistics averaged anew at `point`, [B] float64."""
        ...
