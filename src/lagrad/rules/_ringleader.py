"""A table with a gradient of every worker, so that fast workers do not bend the objective."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout
from lagrad.schedules import Schedule

from ._base import Elementwise, Rated, SendsParams, Unweighted, require_workers


@dataclass
class Table:
    """sums: of each worker's gradients, [P]. samples: how many samples they are over."""

    sums: dict[int, Tensor] = field(default_factory=dict)
    samples: dict[int, int] = field(default_factory=dict)

    def add(self, gradient: Gradient) -> None:
        """One more gradient of its worker."""
        worker = gradient.worker
        if worker not in self.sums:
            self.sums[worker] = torch.zeros_like(gradient.values)
            self.samples[worker] = 0
        self.sums[worker].add_(gradient.values, alpha=gradient.samples)
        self.samples[worker] += gradient.samples


@dataclass
class RingleaderState:
    """table: of this round. coming: of the next one. served: who has moved x in this round."""

    table: Table = field(default_factory=Table)
    coming: Table = field(default_factory=Table)
    served: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Ringleader(Rated, SendsParams, Unweighted, Elementwise):
    """Steps along the mean over workers of each worker's mean gradient; for unlike data.

        G_i: mean of worker i's gradients of this round
        x <- x - gamma (1/N) sum_i G_i,  once for each worker

    A round first waits until each of N workers has sent a gradient; the gradient that completes
    the table moves x, and so does the next one of each worker that has not moved it yet. What
    workers send after that counts for the next round, which begins when all have moved x.
    Until the table is complete, steps leave x where it is; for good if a worker never comes back.
    workers: N >= 1. lr: gamma >= 0, a number or a schedule. For policy `Asynchronous`.
    Sent: x. Memory: 2N vectors.
    Source: Maranjyan, Richtarik 2026, arXiv:2509.22860, second hand. Deviation: every worker is
    sent the newest x after each gradient, not only after it has moved x.

    >>> Ringleader(4, lr=0.1).needs_snapshots
    False
    """

    workers: int
    lr: float | Schedule = 0.1

    def __post_init__(self) -> None:
        self.require_rate()
        require_workers(self.workers)

    def init(self, params: Tensor, layout: Layout) -> RingleaderState:
        """An empty table."""
        del params, layout
        return RingleaderState()

    def apply(
        self, params: Tensor, state: RingleaderState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """Take each gradient in; move if it is its turn."""
        for gradient in gradients:
            if gradient.worker in state.served:
                state.coming.add(gradient)
                continue
            state.table.add(gradient)
            if len(state.table.sums) < self.workers:
                continue
            step = self.rate(version) / len(state.table.sums)
            for worker, total in state.table.sums.items():
                params.sub_(total, alpha=step / state.table.samples[worker])
            state.served.add(gradient.worker)
            if len(state.served) >= self.workers:
                state.table, state.coming, state.served = state.coming, Table(), set()
