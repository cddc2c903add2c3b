"""A momentum for each worker, so that nobody's momentum holds gradients of another's delay."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout
from lagrad.schedules import Schedule

from ._base import Elementwise, NeedsGradientsAlone, Rated, Unweighted, require_momentum

Form = Literal["multi-asgd", "dana-zero", "dana-slim"]


@dataclass
class WorkerMomentaState:
    """by_worker: eta v_i of each worker that has pushed, [P]. total: their sum [P], or None."""

    total: Tensor | None
    by_worker: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerMomenta(Rated, NeedsGradientsAlone, Unweighted, Elementwise):
    """Multi-ASGD and DANA: momentum kept per worker, and a look-ahead over all of them.

        v_i <- gamma v_i + g
        multi-asgd:  x <- x - eta v_i,              sent: x
        dana-zero:   x <- x - eta v_i,              sent: x - eta gamma sum_j v_j
        dana-slim:   x <- x - eta (gamma v_i + g),  sent: x

    In a step of several gradients, g of each is multiplied by its share of the step's samples.
    DANA-Slim sends what DANA-Zero sends; its x is what DANA-Zero sends, also for evaluation.
    The momentum of a worker that is gone stays, for dana-zero also in what is sent.
    lr: eta >= 0, a number or a schedule; eta v_i is what is kept, so that where eta changes the
    momentum already gathered does not (the paper's momentum correction). momentum: gamma in [0, 1).
    Memory: N vectors, one more for dana-zero.
    Source: Hakimi, Barkai, Gabel, Schuster 2019, arXiv:1907.11612; the equations from memory,
    verified by their equivalence. Deviation: DANA-Slim's momenta are kept at the server, where the
    paper's workers keep their own and send gamma v + g; the parameters are the same.

    >>> rule = WorkerMomenta(lr=0.1, momentum=0.5, form="dana-zero")
    >>> x = torch.zeros(1)
    >>> state = rule.init(x, Layout(("x",), ((1,),), torch.float32))
    >>> g = Gradient(worker=3, tau=0, samples=1, values=torch.tensor([-10.0]))
    >>> rule.apply(x, state, [g], version=0)
    >>> x.item(), rule.point(x, state, version=1, expected_tau=0.0).item()
    (1.0, 1.5)
    """

    lr: float | Schedule = 0.1
    momentum: float = 0.9
    form: Form = "dana-zero"

    def __post_init__(self) -> None:
        self.require_rate()
        require_momentum(self.momentum)
        if self.form not in {"multi-asgd", "dana-zero", "dana-slim"}:
            raise ValueError(
                f"Expected form multi-asgd, dana-zero or dana-slim, got {self.form!r}; "
                "dana-zero is the paper's first."
            )

    def init(self, params: Tensor, layout: Layout) -> WorkerMomentaState:
        """No momenta yet."""
        del layout
        return WorkerMomentaState(torch.zeros_like(params) if self.form == "dana-zero" else None)

    def apply(
        self,
        params: Tensor,
        state: WorkerMomentaState,
        gradients: Sequence[Gradient],
        *,
        version: int,
    ) -> None:
        """Each gradient moves its worker's momentum, which moves the parameters."""
        lr, gamma = self.rate(version), self.momentum
        samples = sum(gradient.samples for gradient in gradients)
        for gradient in gradients:
            share = lr * gradient.samples / samples
            if gradient.worker not in state.by_worker:
                state.by_worker[gradient.worker] = torch.zeros_like(params)
            own = state.by_worker[gradient.worker]
            if state.total is not None:
                state.total.add_(own, alpha=gamma - 1.0).add_(gradient.values, alpha=share)
            own.mul_(gamma).add_(gradient.values, alpha=share)
            if self.form == "dana-slim":
                params.sub_(own, alpha=gamma).sub_(gradient.values, alpha=share)
            else:
                params.sub_(own)

    def point(
        self, params: Tensor, state: WorkerMomentaState, *, version: int, expected_tau: float
    ) -> Tensor:
        """The parameters, or for dana-zero where all the momenta will have carried them."""
        del version, expected_tau
        return params if state.total is None else params.sub(state.total, alpha=self.momentum)
