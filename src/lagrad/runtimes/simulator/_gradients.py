"""The gradients that workers of a simulation have been sent for, and when they are computed."""

from collections.abc import Sequence

import torch
from msgspec import structs
from torch import Tensor

from lagrad.core import Send
from lagrad.tasks import Differentiator


class Gradients:
    """One vector for each worker, and those of them that are not computed yet.

    A gradient depends on its point and lease alone, so it may be computed at any time between its
    dispatch and its delivery; a worker's vector is free again once its push has been answered by
    the next Send.
    vectors: [workers, P]. waiting: of those that are not computed yet, by worker, what was sent,
    with a point that stays.
    """

    #: What a checkpoint keeps.
    CHANGES = ("vectors", "waiting", "_losses", "_kept")

    def __init__(self, differentiator: Differentiator, *, workers: int) -> None:
        self._differentiator = differentiator
        layout = differentiator.layout
        self.vectors = torch.empty((workers, layout.size), dtype=layout.dtype)
        self.waiting: dict[int, Send] = {}
        self._losses: dict[int, float] = {}
        #: The last version of which a point was copied, and the copy.
        self._kept: tuple[int, Tensor] = (-1, torch.empty(0))

    def alone(self, send: Send) -> tuple[float, Tensor | None, bool]:
        """Compute one now: the loss, the buffers after it, whether it is finite."""
        differentiator = self._differentiator
        buffers = differentiator.initial_buffers() if send.buffers is None else send.buffers
        loss, after, finite = differentiator(
            send.point, send.lease, buffers=buffers, out=self.vectors[send.worker]
        )
        return loss, None if send.buffers is None else after, finite

    def wait(self, send: Send) -> None:
        """It is computed later, at a copy of the point: one for all that are sent it."""
        version, point = self._kept
        if version != send.version:
            point = send.point.clone()
            self._kept = send.version, point
        self.waiting[send.worker] = structs.replace(send, point=point)

    def several(self, workers: Sequence[int]) -> tuple[Tensor, list[float]]:
        """Those of these workers, which wait and go on waiting; see `Together.several`."""
        sent = [self.waiting[worker] for worker in workers]
        return self._differentiator.together.several(
            [send.point for send in sent], [send.lease for send in sent]
        )

    def compute_all(self) -> None:
        """Compute all that wait."""
        self._compute(list(self.waiting))

    def loss_of(self, worker: int, *, alone: bool) -> float:
        """The loss of a gradient that is delivered: it is in its vector now.

        alone: whether the others that wait go on waiting.
        """
        if worker in self.waiting:
            self._compute([worker] if alone else list(self.waiting))
        return self._losses.pop(worker)

    def _compute(self, workers: list[int]) -> None:
        sent = [self.waiting.pop(worker) for worker in workers]
        losses = self._differentiator.together(
            [send.point for send in sent],
            [send.lease for send in sent],
            out=self.vectors,
            rows=workers,
        )
        self._losses.update(zip(workers, losses, strict=True))
