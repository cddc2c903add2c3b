"""What a worker does: a gradient at a given point, on the samples of a lease."""

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import default_collate

from lagrad.core import Copies, Layout, Lease, Staging, all_finite, shuffled_order

from ._data import Samples, Stream
from ._moved import moved
from ._seeding import lease_seed, seeded
from ._task import Task
from ._validate import build_checked, check_recipes, try_out

#: Elements of points that a closed form is given at a time, which the cache holds with what comes
#: of them.
_CACHED = 1 << 18
_HOST = torch.device("cpu")


class Differentiator:
    """Gradients of a task, each a pure function of (point, buffers, lease, seed).

    The model's trainable parameters become views of one flat vector, so that loading a point is
    one copy. torch's CPU generator is seeded for each lease (dropout repeats) and then put back;
    NumPy's and Python's generators are left alone. What the model keeps outside its parameters
    and saved buffers must not change.

    built: the task's model and data, where they are there already. device: an accelerator that
    computes, to which model and batches are moved; None: the processor. Points, gradients and
    buffers are in host memory either way.
    layout: of a point and a gradient, [P]. buffer_layout: of the buffers, [B] float64.
    num_samples: size of the data set, or None for a stream.

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
        self._model, self._data = built
        if device is not None:
            self._model.to(device)
        self.num_samples = self._data.num_samples
        self.layout = Layout.of_parameters(self._model)
        self.buffer_layout = Layout.of_buffers(self._model)
        self._parameters = [p for p in self._model.parameters() if p.requires_grad]
        self._flat = self.layout.pack(
            zip(self.layout.names, self._parameters, strict=True)  # in the order of the layout
        )
        #: None as long as the model's own vector still holds them.
        self._initial_params: Tensor | None = None
        self._staging: Staging | None = None
        if device is not None:
            self._initial_params = self._flat
            self._flat = self._flat.to(device)
            self._staging = Staging(self._flat, self.layout.shapes)
        self._home = self._parts(self._flat)
        #: By where it begins in memory, the parts of a vector that is read where it lies.
        self._in_place: dict[int, list[Tensor]] = {}
        self._tried: Sequence[Tensor] = ()
        self._landing: list[Tensor] | None = None
        self._landed: set[int] = set()
        self._surely_finite = True
        for place, (parameter, view) in enumerate(zip(self._parameters, self._home, strict=True)):
            parameter.data = view
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                partial(self._land, place)
            )
        self._buffer_homes = [
            (self._model.get_submodule(path), name)
            for path, _, name in (full.rpartition(".") for full in self.buffer_layout.names)
        ]
        self._buffer_copies = Copies(self.buffer_layout)
        self._initial_buffers = self._read_buffers()
        self._orders: dict[int, Tensor] = {}
        #: For points and gradients of a closed form: new memory costs more than they do.
        self._room: Tensor | None = None
        self._own = torch.Generator()
        self._with_loss = _WithLoss(self._model, task.loss)

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
        start = self._flat if self._initial_params is None else self._initial_params
        assert start.numel() == self.layout.size, "forgotten: see read_in_place"
        return start.clone()

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
        return {k: v.detach().to(_HOST, copy=True) for k, v in model.state_dict().items()}

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
        watched = self.reads_in_place
        before = [parameter._version for parameter in self._parameters] if watched else []
        with seeded(lease_seed(self.seed, lease.number), self._device):
            loss = self.task.loss(model, self._draw(lease))
            self._landing = self._parts(out)
            try:
                loss.backward()  # type: ignore[no-untyped-call]
                self._collect_gradients(self._landing)
            finally:
                self._landing = None
        if watched:
            self._judge(before, point)
        return loss.item(), self._read_buffers(), self._surely_finite or all_finite(out)

    def read_in_place(self, points: Sequence[Tensor]) -> None:
        """Points that are among these vectors, [P] each, are from now on read where they lie.

        First one gradient is computed at a copy: a loss that writes to the parameters goes on with
        copies. Where one begins to write later, `reads_in_place` turns False, and what the vectors
        hold is as it has left it: so they are to be a private view of what others read. Once they
        are read, the model's own vector and the initial parameters are forgotten.
        Where an accelerator computes, all of them go on being copied.
        """
        if self._device is None:
            self._tried = points

    @property
    def reads_in_place(self) -> bool:
        """Whether points are read where they lie, or may yet be."""
        return bool(self._tried or self._in_place)

    def _judge(self, before: list[int], point: Tensor) -> None:
        written = before != [parameter._version for parameter in self._parameters]
        if self._tried:
            # Writing to `.data` leaves no other trace.
            if not (written or not torch.equal(self._flat, point)):
                self._in_place = {row.data_ptr(): self._parts(row) for row in self._tried}
                self._flat, self._home = torch.empty(0), []
                self._initial_params = self._flat
            self._tried = ()
        elif written:
            self._in_place = {}

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
        leases = self._first_leases(1) * 2
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

    def together(
        self, points: Sequence[Tensor], leases: Sequence[Lease], *, out: Tensor, rows: Sequence[int]
    ) -> list[float]:
        """Write the gradient at `points[i]` on `leases[i]` to `out[rows[i]]`; the n losses.

        points: [P] each, only read; some may be the same. out: [m, P]. Only for tasks that
        `require_together` accepts. What comes out is what n calls would give, but for rounding.
        """
        self._model.train()
        losses = [0.0] * len(leases)
        for size in {lease.samples for lease in leases}:  # the last lease of an epoch is short
            alike = [i for i, lease in enumerate(leases) if lease.samples == size]
            for begin in range(0, len(alike), self.at_once):
                some = alike[begin : begin + self.at_once]
                found, of_some = self._alike([points[i] for i in some], [leases[i] for i in some])
                out.index_copy_(0, torch.tensor([rows[i] for i in some]), found.to(out.device))
                for i, loss in zip(some, of_some.tolist(), strict=True):
                    losses[i] = loss
        return losses

    def several(
        self, points: Sequence[Tensor], leases: Sequence[Lease]
    ) -> tuple[Tensor, list[float]]:
        """The gradients at `points[i]` on `leases[i]`, [n, P], and the losses; see `together`.

        What is returned stays as it is until gradients are asked for again; n <= `at_once`.
        """
        if len({lease.samples for lease in leases}) > 1:
            out = torch.empty((len(points), self.layout.size), dtype=self.layout.dtype)
            return out, self.together(points, leases, out=out, rows=range(len(points)))
        self._model.train()
        gradients, losses = self._alike(points, leases)
        return gradients.to(_HOST), losses.tolist()

    @property
    def at_once(self) -> int:
        """Gradients in one call: of a closed form as many as stay in the cache, else all."""
        if self.task.gradients is None:
            return sys.maxsize
        return max(1, _CACHED // self.layout.size)

    def _alike(self, points: Sequence[Tensor], leases: Sequence[Lease]) -> tuple[Tensor, Tensor]:
        batch = self._draw_all(leases)
        if self.task.gradients is None:
            gradients, losses = vmap(
                grad_and_value(self._value), in_dims=(0, None if batch is None else 0)
            )(torch.stack(list(points)).to(self._device or _HOST), batch)
            return gradients, losses
        size = min(self.at_once, 1 << (len(points) - 1).bit_length())
        if self._room is None or self._room.shape[1] < len(points):
            self._room = torch.empty(
                (2, size, self.layout.size), dtype=self.layout.dtype, device=self._device
            )
        at, gradients = self._room[:, : len(points)].unbind()
        if self._device is None:
            torch.stack(list(points), out=at)
        else:
            at.copy_(torch.stack(list(points)))
        gradients.zero_()
        parts, homes = self._parts_of_all(at), self._parts_of_all(gradients)
        with torch.no_grad():
            return gradients, self.task.gradients(parts, batch, homes)

    def _parts_of_all(self, points: Tensor) -> dict[str, Tensor]:
        """Each parameter of [n, P] by its name, [n, *shape], sharing memory."""
        layout, count = self.layout, len(points)
        parts = torch.split(points, list(layout.sizes), dim=1)
        return {
            name: part.view(count, *shape)
            for name, shape, part in zip(layout.names, layout.shapes, parts, strict=True)
        }

    def _value(self, flat: Tensor, batch: Any) -> Tensor:
        parts = {f"model.{name}": part for name, part in self.layout.views(flat).items()}
        value: Tensor = functional_call(self._with_loss, parts, (batch,))
        return value

    def _draw_all(self, leases: Sequence[Lease]) -> Any:
        """The batches of all the leases, stacked; None where they have none."""
        data = self._data
        if isinstance(data, Samples) and data.are_tensors:
            chosen = [lease.indices(self._order(data, lease.epoch)) for lease in leases]
            batch = moved(data.batch(torch.cat(chosen)), self._device)
            return tuple(part.unflatten(0, (len(leases), -1)) for part in batch)
        if isinstance(data, Stream) and data.draw_all is not None:
            return moved(data.draw_all(map(self._generator, leases), len(leases)), self._device)
        if isinstance(data, Stream):
            batches = [self._draw(lease) for lease in leases]
        else:
            batches = []
            for lease in leases:
                with seeded(lease_seed(self.seed, lease.number), self._device):
                    batches.append(self._draw(lease))
        return None if all(batch is None for batch in batches) else default_collate(batches)

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
            for lease in self._first_leases(num_batches):
                with torch.no_grad(), seeded(lease_seed(self.seed, lease.number), self._device):
                    self.task.loss(model, self._draw(lease))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        return self._read_buffers()

    def _load(self, point: Tensor, buffers: Tensor) -> nn.Module:
        assert point.shape == (self.layout.size,), (point.shape, self.layout.size)
        parts = self._in_place.get(point.data_ptr())
        if parts is None:
            parts = self._take_home(point)
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.grad = None  # also what an interrupted backward pass left
            if parameter.data_ptr() != part.data_ptr():  # elsewhere, or the loss has replaced it
                parameter.data = part
        self._landed.clear()
        self._surely_finite = True
        if self._buffer_homes:
            self._buffer_copies.load(buffers, self._buffers())
        return self._model

    def _take_home(self, point: Tensor) -> list[Tensor]:
        """The parts of the model's own vector, which holds the point now."""
        if self._initial_params is None:
            self._initial_params = self._flat.clone()
        if not self._home:
            self._flat = torch.empty_like(point)
            self._home = self._parts(self._flat)
        if self._staging is None:
            self._flat.copy_(point)
        else:
            self._staging.load(self._parts(point))
        return self._home

    def _buffers(self) -> list[Tensor]:
        # Looked up each time: a module may replace a buffer instead of writing into it.
        return [getattr(module, name) for module, name in self._buffer_homes]

    def _read_buffers(self) -> Tensor:
        out = torch.empty(self.buffer_layout.size, dtype=torch.float64)
        self._buffer_copies.collect(self._buffers(), out)
        return out

    def _land(self, place: int, parameter: Tensor) -> None:
        """A gradient is there: it is put where it belongs while the cache still holds it."""
        gradient = parameter.grad
        if self._landing is None or gradient is None or gradient.is_sparse:
            return
        if self._staging is not None:  # on its way while what is below is differentiated
            self._staging.bring(place, gradient)
            return
        if place in self._landed:  # another of its parts: a backward pass within the first
            self._landing[place].add_(gradient)
            self._surely_finite = False
        else:
            self._landing[place].copy_(gradient)
            self._landed.add(place)
            self._surely_finite &= math.isfinite(gradient.sum().item())
        parameter.grad = None

    def _collect_gradients(self, parts: list[Tensor]) -> None:
        """What has not landed: sparse gradients, and zeros where there is none."""
        if self._staging is not None:
            for place, parameter in enumerate(self._parameters):
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._staging.bring(place, parameter.grad.to_dense())
            arrived = self._staging.finish()
            self._surely_finite = False
            for parameter, part, there in zip(self._parameters, parts, arrived, strict=True):
                part.zero_() if parameter.grad is None else part.copy_(there)
            return
        for place, (parameter, part) in enumerate(zip(self._parameters, parts, strict=True)):
            gradient = parameter.grad
            if place not in self._landed:
                part.zero_()
            if gradient is not None:
                part.add_(gradient)
                self._surely_finite = False

    def _parts(self, flat: Tensor) -> list[Tensor]:
        return list(self.layout.views(flat).values())

    def _draw(self, lease: Lease) -> Any:
        if isinstance(self._data, Samples):
            batch = self._data.batch(lease.indices(self._order(self._data, lease.epoch)))
        else:
            batch = self._data.draw(self._generator(lease))
        return moved(batch, self._device)

    def _generator(self, lease: Lease) -> torch.Generator:
        # One for all leases: seeding it anew is cheaper than making one.
        return self._own.manual_seed(lease_seed(self.seed, lease.number, purpose=1))

    def _order(self, samples: Samples, epoch: int) -> Tensor:
        if epoch not in self._orders:
            if len(self._orders) > 1:  # two are kept: leases of two epochs mix where one ends
                del self._orders[min(self._orders)]
            self._orders[epoch] = shuffled_order(len(samples), seed=self.seed, epoch=epoch)
        return self._orders[epoch]

    def _first_leases(self, num_batches: int) -> list[Lease]:
        if self.num_samples is None:
            return [Lease(i, 0, i, i + 1) for i in range(num_batches)]
        size = self.task.batch_size
        starts = range(0, self.num_samples, size)[:num_batches]
        # A short last batch has unsettled statistics, yet would count as much as a full one.
        full = [s for s in starts if s + size <= self.num_samples] or [0]
        return [Lease(i, 0, s, min(s + size, self.num_samples)) for i, s in enumerate(full)]


class _WithLoss(nn.Module):
    """The loss as a module, whose parameters are the model's, for `functional_call`."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch)


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
