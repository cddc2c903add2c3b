"""Roll-forward that measures how late gradients come, and scales itself to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout, RunningMedian
from lagrad.schedules import Schedule
from lagrad.weights import Constant

from ._base import Elementwise, Rated, mean, require_decay, require_momentum, require_workers
from ._roll_forward import RollForward, led


@dataclass
class PacedState:
    """momentum: u [P]. last: mean gradient of the last step [P]. taus: of recent gradients.

    seen: how many gradients have come. pace: S of the last step, steps of a gradient's journey.
    """

    momentum: Tensor
    last: Tensor
    taus: RunningMedian = field(default_factory=RunningMedian)
    seen: int = 0
    pace: float = 1.0


@dataclass(frozen=True)
class PacedMomentum(Rated, Elementwise):
    """Roll-forward for any number of workers: rate and momentum are those of synchronous training.

        S = median(tau) + 1                              steps while a gradient is under way
        b = beta^(1/S),   eta = lr (1 - b) / ((1 - beta) S),   w = min(1, S/(tau + 1))
        u <- b u + mean_i w(tau_i) b^tau_i g_i + lambda x,   x <- x - eta u
        send  x - eta (A u + B g)    with `RollForward`'s A and B for the expected staleness D

    g: mean gradient of the last step. Where S changes, eta u is kept. Per round of S steps the
    momentum forgets by beta, and one gradient of a step of n moves x by lr/((1 - beta) S n) in all,
    as in synchronous heavy ball on the joint batch of all workers: so a learning rate that is good
    with some number of workers, or some policy, is good with another. Nothing late: heavy ball,
    bit for bit.
    lr: of a synchronous step, >= 0, a number or a schedule on the version. momentum: beta of a
    synchronous step, in [0, 1). workers: N >= 1; until 2 N gradients have come, S is taken to be
    N/n, or 1 if that is less. weight_decay: lambda >= 0, joined as a gradient on time. reach: as
    of `RollForward`, 2 for RFx2.
    median: of the last 128 gradients before this step. Memory: 2 vectors beyond x.
    Source: ours; the rule of `roll_forward` with its constants as functions of S.

    >>> rule = PacedMomentum(lr=0.1, momentum=0.8, workers=8)
    >>> [round(value, 5) for value in rule.constants(8.0)]
    [0.97249, 0.01719]
    """

    lr: float | Schedule = 0.1
    momentum: float = 0.8
    workers: int = 1
    weight_decay: float = 0.0
    reach: float = 1.0

    def __post_init__(self) -> None:
        self.require_rate()
        require_momentum(self.momentum)
        require_workers(self.workers)
        require_decay(self.weight_decay)
        RollForward(self.reach)

    @property
    def needs_snapshots(self) -> bool:
        """No: dates and gradients suffice."""
        return False

    @property
    def looks_ahead(self) -> bool:
        """Yes."""
        return True

    def constants(self, pace: float) -> tuple[float, float]:
        """(b, eta / lr) of a step at S = `pace` >= 1."""
        decay = float(self.momentum ** (1.0 / pace))
        return decay, (1.0 - decay) / ((1.0 - self.momentum) * pace)

    def init(self, params: Tensor, layout: Layout) -> PacedState:
        """No momentum, and nothing seen."""
        del layout
        return PacedState(torch.zeros_like(params), torch.zeros_like(params))

    def weight_of(self, tau: int, *, version: int, state: PacedState) -> float:
        """w(tau) b^tau: the share of the momentum at which the gradient enters."""
        del version
        return self._weight(tau, state.pace)

    def _weight(self, tau: int, pace: float) -> float:
        return float(min(1.0, pace / (tau + 1)) * self.momentum ** (tau / pace))

    def _pace(self, state: PacedState, gradients: int) -> float:
        if state.seen < 2 * self.workers:
            return max(1.0, self.workers / gradients)
        return state.taus.value() + 1.0

    def apply(
        self, params: Tensor, state: PacedState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """Age the momentum at the pace of now, take the step's gradients in, move."""
        before, pace = state.pace, self._pace(state, len(gradients))
        decay, scale = self.constants(pace)
        if pace != before and version:
            # The displacement eta u goes on as it was.
            state.momentum.mul_(self.constants(before)[1] / scale)
        values, factor = mean(
            gradients,
            lambda tau: self._weight(tau, pace),
            params=params,
            weight_decay=self.weight_decay,
        )
        state.last.copy_(mean(gradients, Constant(), params=params)[0])
        state.momentum.mul_(decay).add_(values, alpha=factor)
        params.add_(state.momentum, alpha=-self.rate(version) * scale)
        state.pace = pace
        state.seen += len(gradients)
        for gradient in gradients:
            state.taus.add(gradient.tau)

    def point(
        self, params: Tensor, state: PacedState, *, version: int, expected_tau: float
    ) -> Tensor:
        """Where the gradients under way lead; the parameters while nothing is late."""
        return led(params, self.terms_ahead(state, version=version, expected_tau=expected_tau))

    def terms_ahead(
        self, state: PacedState, *, version: int, expected_tau: float
    ) -> list[tuple[Tensor, float]]:
        """What the point adds to the parameters."""
        if version == 0 or expected_tau == 0:
            return []
        decay, scale = self.constants(state.pace)
        return RollForward(self.reach).terms(
            state.momentum,
            state.last,
            lr=self.rate(version) * scale,
            beta=decay,
            steps=expected_tau,
        )
