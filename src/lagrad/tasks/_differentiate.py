"""What a worker does: a gradient at a given point, on the samples of a lease."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lagrad.core import Copies, Layout, Lease, all_finite

from ._batches import Batches
from ._data import Samples, Stream
from ._landing import Landing
from ._points import Points
from ._seeding import seeded
from ._task import Task
from ._together import Together
from ._validate import build_checked, check_recipes, try_out


class Differentiator:
    """Gradients of a task, each a pure function of (point, buffers, lease, seed).

    The model's trainable parameters become views of one flat vector. torch's CPU generator is
    seeded for each lease (dropout repeats) and then put back; NumPy's and Python's generators are
    left alone. What the model keeps outside its parameters and saved buffers must not change.

    built: the task's model and data, where they are there already. device: an accelerator that
    computes, to which model and batches are moved; None: the processor. Points, gradients and
    buffers are in host memory either way.
    layout: of a point and a gradient, [P]. buffer_layout: of the buffers, [B] float64.
    num_samples: size of the data set, or None for a stream. together: gradients of many leases at
    once, once `require_together` has accepted the task.

    >>> from lagrad.tasks import parabola
    >>> differentiator = Differentiator(parabola())
    >>> point, out = differentiator.initial_params(), torch.empty(1, dtype=torch.float64)
    >>> lease = Lease(number=0, epoch=0, start=0, stop=1)
    >>> buffers = differentiator.initial_buffers()
    >>> loss, _, finite = differentiator(point, lease, buffers=buffers, out=out)
    >>> loss, out, finite
    (64.0, tensor([16.], dtype=torch.float64), True)
    """

    def __init__(
        self,
        task: Task,
        seed: int = 0,
        *,
        built: tuple[nn.Module, Samples | Stream] | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.task = task
        self.seed = seed
        self._device = device
        if built is None:
            with seeded(seed):
                model = task.model()
            built = model, task.data()
        self._model, data = built
        if device is not None:
            self._model.to(device)
        self.num_samples = data.num_samples
        self.layout = Layout.of_parameters(self._model)
        self.buffer_layout = Layout.of_buffers(self._model)
        # In the order of the layout.
        parameters = [p for p in self._model.parameters() if p.requires_grad]
        self._points = Points(parameters, self.layout, device)
        self._landing = Landing(parameters, self._points.staging)
        self._batches = Batches(data, seed=seed, batch_size=task.batch_size, device=device)
        self.together = Together(task, self._model, self.layout, self._batches, device=device)
        self._buffer_homes = [
            (self._model.get_submodule(path), name)
            for path, _, name in (full.rpartition(".") for full in self.buffer_layout.names)
        ]
        self._buffer_copies = Copies(self.buffer_layout)
        self._initial_buffers = self._read_buffers()

    @classmethod
    def tried_out(cls, task: Task, seed: int = 0, *, pickles: bool = True) -> "Differentiator":
        """One of a task that is checked first, as `Task.validate` does, on the same objects."""
        check_recipes(task, pickles=pickles)
        model, data = build_checked(task, seed)
        differentiator = cls(task, seed, built=(model, data))
        try_out(task, model, data)  # what this leaves in the model is loaded over at each use
        return differentiator

    def initial_params(self) -> Tensor:
        """Where training starts, [P], a function of (task, seed); a new tensor."""
        return self._points.initial()

    def initial_buffers(self) -> Tensor:
        """The buffers at the start, [B] float64; a new tensor."""
        return self._initial_buffers.clone()

    def buffer_counters(self) -> Tensor:
        """Which elements of the buffers are integers in the model: bool [B]."""
        counters = [
            torch.full((size,), not buffer.is_floating_point())
            for size, buffer in zip(self.buffer_layout.sizes, self._buffers(), strict=True)
        ]
        return torch.cat(counters) if counters else torch.empty(0, dtype=torch.bool)

    def state_dict(self, point: Tensor, buffers: Tensor) -> dict[str, Tensor]:
        """The whole model at `point`, as `nn.Module.load_state_dict` takes it; copies."""
        model = self._load(point, buffers)
        return {k: v.detach().to("cpu", copy=True) for k, v in model.state_dict().items()}

    def __call__(
        self, point: Tensor, lease: Lease, *, buffers: Tensor, out: Tensor
    ) -> tuple[float, Tensor, bool]:
        """Write the gradient of the mean loss of the lease's samples at `point` into `out`.

        point: [P]; buffers: [B] float64; both only read. out: [P], every element is written;
        parameters that the loss does not depend on get 0.
        Returns: the loss, as it is even if it is not finite; the buffers after the forward pass,
        [B] float64, a new tensor; whether the gradient is finite.
        """
        model = self._load(point, buffers).train()
        with self._points.computing(point), self._batches.seeding(lease):
            loss = self.task.loss(model, self._batches.draw(lease))
            finite = self._landing.backward(loss, list(self.layout.views(out).values()))
        return loss.item(), self._read_buffers(), finite or all_finite(out)

    def read_in_place(self, points: Sequence[Tensor]) -> None:
        """Points that are among these vectors, [P] each, are from now on read where they lie.

        points: a private view of what others read, to which a loss may not write. First one
        gradient is computed at a copy: a loss that writes to the parameters goes on with copies.
        Where one begins to write later, also to `.data`, and be it what was there, the kernel tells
        so: `reads_in_place` turns False, and from then on gradients are to be asked for at what
        others read. Once points are read in place, the model's own vector and the initial
        parameters are forgotten.
        Where the kernel does not tell (by /proc/self/pagemap), or an accelerator computes, all of
        them go on being copied.
        """
        self._points.read_in_place(points)

    @property
    def reads_in_place(self) -> bool:
        """Whether points are read where they lie, or may yet be."""
        return self._points.reads_in_place

    def require_together(self) -> None:
        """Refuse a task whose gradients `together` cannot compute.

        Raises: ValueError for a model with buffers; for a closed form that differs from autograd;
        and, without one, for what torch.func.vmap does not take: torch's randomness in the loss,
        `.item()`, control flow that depends on values.
        """
        if self.buffer_layout.size:
            raise ValueError(
                f"Expected a model without buffers for gradients computed together, got task "
                f"{self.task.name} with {', '.join(self.buffer_layout.names)}; use together=1."
            )
        # Somewhere about the start, where two equal terms do not cancel.
        shift = torch.linspace(-1, 1, self.layout.size, dtype=self.layout.dtype)
        start = self.initial_params()
        points = [start, start + shift]
        leases = self._batches.first(1) * 2
        found = torch.empty(2, self.layout.size, dtype=self.layout.dtype)
        try:
            losses = self.together(points, leases, out=found, rows=[0, 1])
        except RuntimeError as error:
            raise ValueError(
                f"Expected a loss that torch.func.vmap takes for gradients computed together, got "
                f"task {self.task.name} ({error}); use together=1."
            ) from error
        if self.task.gradients is not None:
            for number, point in enumerate(points):
                self._require_equal(point, leases[number], found[number], losses[number])

    def _require_equal(self, point: Tensor, lease: Lease, found: Tensor, loss: float) -> None:
        wanted = torch.empty_like(found)
        plain, *_ = self(point, lease, buffers=self._initial_buffers, out=wanted)
        try:
            torch.testing.assert_close(found, wanted)
            torch.testing.assert_close(loss, plain, rtol=1e-4, atol=1e-6)
        except AssertionError as error:
            raise ValueError(
                f"Expected a closed form that gives autograd's gradients and losses, got task "
                f"{self.task.name} ({error}); mend `gradients`, or leave it out."
            ) from error

    def evaluate(self, point: Tensor, buffers: Tensor) -> dict[str, float]:
        """The task's scores at `point`; empty for a task without `evaluate`."""
        if self.task.evaluate is None:
            return {}
        model = self._load(point, buffers).eval()
        with torch.no_grad(), seeded(self.seed, self._device):
            return _as_scores(self.task.evaluate(model), self.task.name)

    def recalibrate(
        self, point: Tensor, *, num_batches: int = 50, buffers: Tensor | None = None
    ) -> Tensor:
        """Buffers with BatchNorm's statistics averaged anew at `point`, [B] float64.

        Forward passes in training mode over the first `num_batches` batches of epoch 0 (fewer
        if the data set is smaller), each with the same weight, whatever BatchNorm's momentum is.
        buffers: [B], what the other buffers start from; None: the initial ones.
        """
        model = self._load(point, self._initial_buffers if buffers is None else buffers).train()
        norms = [
            m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None
        ]
        momenta = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a cumulative average
            for lease in self._batches.first(num_batches):
                with torch.no_grad(), self._batches.seeding(lease):
                    self.task.loss(model, self._batches.draw(lease))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        return self._read_buffers()

    def _load(self, point: Tensor, buffers: Tensor) -> nn.Module:
        self._points.load(point)
        if self._buffer_homes:
            self._buffer_copies.load(buffers, self._buffers())
        return self._model

    def _buffers(self) -> list[Tensor]:
        # Looked up each time: a module may replace a buffer instead of writing into it.
        return [getattr(module, name) for module, name in self._buffer_homes]

    def _read_buffers(self) -> Tensor:
        out = torch.empty(self.buffer_layout.size, dtype=torch.float64)
        self._buffer_copies.collect(self._buffers(), out)
        return out


def _as_scores(found: Any, task: str) -> dict[str, float]:
    """Plain floats by plain names; tensors and NumPy's numbers of one element are welcome."""
    try:
        scores = {name: float(score) for name, score in found.items()}
        if all(isinstance(name, str) for name in scores):
            return scores
    except (AttributeError, TypeError, ValueError, OverflowError, RuntimeError):
        pass
    raise TypeError(
        f"task {task!r}: Expected `evaluate` to return a dict from names to numbers, got "
        f"{found!r}; for example {{'loss': 0.1}}."
    )
