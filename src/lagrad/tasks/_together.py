"""Gradients of many leases, each at a point of its own, computed at once."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from lagrad.core import Layout, Lease

from ._batches import Batches
from ._task import Task

#: Elements of points that a closed form is given at a time, which the cache holds with what comes
#: of them.
_CACHED = 1 << 18
_HOST = torch.device("cpu")


class Together:
    """Gradients by the task's closed form, else by torch.func.vmap of autograd.

    Only for tasks that `Differentiator.require_together` accepts. What comes out is what one by one
    would give, but for rounding. model: the task's, whose parameters are those of `layout`.
    device: that computes; None: the processor. Points and gradients are in host memory.

    >>> from lagrad.tasks import Differentiator, quadratic
    >>> differentiator = Differentiator(quadratic(dimension=2))
    >>> point = differentiator.initial_params()
    >>> leases = [Lease(number, 0, number, number + 1) for number in (0, 1)]
    >>> gradients, losses = differentiator.together.several([point, 2 * point], leases)
    >>> torch.equal(2 * gradients[0], gradients[1]), round(losses[1] / losses[0], 3)
    (True, 4.0)
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        layout: Layout,
        batches: Batches,
        *,
        device: torch.device | None = None,
    ) -> None:
        self._closed_form = task.gradients
        self._model, self._layout, self._batches, self._device = model, layout, batches, device
        #: Of a closed form's points and gradients, [2, n, P]: new memory costs more than they do.
        self._room: Tensor | None = None
        self._with_loss = _WithLoss(model, task.loss)

    def __call__(
        self, points: Sequence[Tensor], leases: Sequence[Lease], *, out: Tensor, rows: Sequence[int]
    ) -> list[float]:
        """Write the gradient at `points[i]` on `leases[i]` to `out[rows[i]]`; the n losses.

        points: [P] each, only read; some may be the same. out: [m, P].
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
        """The gradients at `points[i]` on `leases[i]`, [n, P], and the losses.

        What is returned stays as it is until gradients are asked for again; n <= `at_once`.
        """
        if len({lease.samples for lease in leases}) > 1:
            out = torch.empty((len(points), self._layout.size), dtype=self._layout.dtype)
            return out, self(points, leases, out=out, rows=range(len(points)))
        self._model.train()
        gradients, losses = self._alike(points, leases)
        return gradients.to(_HOST), losses.tolist()

    @property
    def at_once(self) -> int:
        """Gradients in one call: of a closed form as many as stay in the cache, else all."""
        if self._closed_form is None:
            return sys.maxsize
        return max(1, _CACHED // self._layout.size)

    def _alike(self, points: Sequence[Tensor], leases: Sequence[Lease]) -> tuple[Tensor, Tensor]:
        """The gradients and losses of leases of one size, on the device."""
        batch = self._batches.draw_all(leases)
        if self._closed_form is None:
            gradients, losses = vmap(
                grad_and_value(self._value), in_dims=(0, None if batch is None else 0)
            )(torch.stack(list(points)).to(self._device or _HOST), batch)
            return gradients, losses
        at, gradients = self._room_for(len(points))
        if self._device is None:
            torch.stack(list(points), out=at)
        else:
            at.copy_(torch.stack(list(points)))
        gradients.zero_()
        parts, homes = self._parts_of_all(at), self._parts_of_all(gradients)
        with torch.no_grad():
            return gradients, self._closed_form(parts, batch, homes)

    def _room_for(self, count: int) -> tuple[Tensor, Tensor]:
        """Memory for so many points and for their gradients, [count, P] each, which is kept."""
        if self._room is None or self._room.shape[1] < count:
            size = min(self.at_once, 1 << (count - 1).bit_length())
            self._room = torch.empty(
                (2, size, self._layout.size), dtype=self._layout.dtype, device=self._device
            )
        points, gradients = self._room[:, :count].unbind()
        return points, gradients

    def _parts_of_all(self, points: Tensor) -> dict[str, Tensor]:
        """Each parameter of [n, P] by its name, [n, *shape], sharing memory."""
        layout, count = self._layout, len(points)
        parts = torch.split(points, list(layout.sizes), dim=1)
        return {
            name: part.view(count, *shape)
            for name, shape, part in zip(layout.names, layout.shapes, parts, strict=True)
        }

    def _value(self, flat: Tensor, batch: Any) -> Tensor:
        parts = {f"model.{name}": part for name, part in self._layout.views(flat).items()}
        value: Tensor = functional_call(self._with_loss, parts, (batch,))
        return value


class _WithLoss(nn.Module):
    """The loss as a module, whose parameters are the model's, for `functional_call`."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch)
