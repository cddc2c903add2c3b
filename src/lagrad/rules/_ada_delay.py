"""A step by coordinate that shrinks with the delays and the gradients seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout
from lagrad.schedules import Schedule
from lagrad.weights import Constant

from ._base import Elementwise, Rated, SendsParams, Unweighted, mean


@dataclass
class AdaDelayState:
    """squares: sum over steps i of i/(i + tau_i) g_i^2, [P]."""

    squares: Tensor


@dataclass(frozen=True)
class AdaDelay(Rated, SendsParams, Unweighted, Elementwise):
    """Delay-sensitive steps, adapted to each coordinate.

        c_j = sqrt((1/t) sum_{i<=t} i/(i + tau_i) g_{i,j}^2)
        x_j <- x_j - alpha g_j / (1 + c_j sqrt(t + tau)),    t = 1, 2, ...

    lr: alpha >= 0, a number or a schedule. g: the mean gradient of the step, tau: the largest
    staleness in it. Sent: x. Memory: 1 vector.
    Source: Sra, Yu, Li, Smola 2016, arXiv:1508.05003, the practical form with L = 1. The paper
    evaluates the mean of the iterates (a run's averaged weights) and projects (`Projected`).

    >>> AdaDelay(lr=0.5).weight_of(3, version=9, state=None)
    1.0
    """

    lr: float | Schedule = 0.1

    def __post_init__(self) -> None:
        self.require_rate()

    def init(self, params: Tensor, layout: Layout) -> AdaDelayState:
        """No gradient seen."""
        del layout
        return AdaDelayState(torch.zeros_like(params))

    def apply(
        self, params: Tensor, state: AdaDelayState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """One step, the delays of its own gradients included."""
        t, tau = version + 1, max(gradient.tau for gradient in gradients)
        values, factor = mean(gradients, Constant(), params=params)
        state.squares.addcmul_(values, values, value=factor**2 * t / (t + tau))
        divisor = state.squares.mul((t + tau) / t).sqrt_().add_(1.0)
        params.addcdiv_(values, divisor, value=-self.rate(version) * factor)
