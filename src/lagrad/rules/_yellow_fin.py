"""Momentum and learning rate tuned from the gradients, as if the loss were a noisy quadratic."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout, TotalMomentum, length
from lagrad.weights import Constant

from ._base import SendsParams, Unweighted, mean

_WINDOW, _DECAY, _SLOW_START = 20, 0.999, 200
_FLOOR = 1e-12
#: Its square is a float.
_LONGEST = 1e150
_GAIN = 0.01


@dataclass
class Average:
    """A running mean that is right from its first number on."""

    total: float = 0.0
    weight: float = 0.0

    def add(self, number: float) -> float:
        """Take a number in; the mean."""
        self.total = _DECAY * self.total + (1 - _DECAY) * number
        self.weight = _DECAY * self.weight + (1 - _DECAY)
        return self.total / self.weight


@dataclass
class YellowFinState:
    """velocity, mean: of the gradients [P]; the other fields are running means of numbers."""

    velocity: Tensor
    mean: Tensor
    weight: float = 0.0
    curvatures: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    log_highest: Average = field(default_factory=Average)
    log_lowest: Average = field(default_factory=Average)
    square: Average = field(default_factory=Average)
    norm: Average = field(default_factory=Average)
    distance: Average = field(default_factory=Average)
    total: TotalMomentum | None = None
    momentum: float = 0.0


@dataclass(frozen=True)
class YellowFin(SendsParams, Unweighted):
    """Heavy ball that tunes itself; in closed loop it makes up for the momentum of asynchrony.

        h = ||g||^2;  h_max, h_min: running means, by logarithm, of its extremes over 20 steps
        C = E||g||^2 - ||E g||^2,   D = E(E||g|| / E h)
        sqrt(mu_1): root x of  (D^2 h_min^2 / 2C) x = (1 - x)^3
        mu = max(mu_1, ((sqrt r - 1)/(sqrt r + 1))^2),  r = h_max/h_min
        eta = (1 - sqrt mu)^2 / h_min
        g <- g min(1, sqrt h_max / ||g||),   v <- beta v + g,   x <- x - lr eta v

    closed_loop: beta <- beta + 0.01 (mu - mu_total), with the momentum the run shows
    (`TotalMomentum`), within 0.999; else beta = mu.
    lr: a factor on the tuned rate, > 0; 1 is the published rule. The first 200 steps are shortened,
    to t/200. Means decay by 0.999 a step.
    Sent: x. Memory: 2 vectors.
    Source: Zhang, Mitliagkas 2017, arXiv:1706.03471, after the authors' code; the closed loop from
    memory; that it helps has not been shown here. Deviations: no further smoothing of mu and eta;
    the total momentum is that of the mean age of gradients, since the published median of ratios
    does not see asynchrony where gradients change little in a step, and then the loop runs into
    its end.

    >>> YellowFin().closed_loop
    False
    """

    lr: float = 1.0
    closed_loop: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise ValueError(f"Expected a finite factor lr > 0, got {self.lr}; use 1.")

    def init(self, params: Tensor, layout: Layout) -> YellowFinState:
        """Nothing measured."""
        del layout
        total = TotalMomentum(params) if self.closed_loop else None
        return YellowFinState(torch.zeros_like(params), torch.zeros_like(params), total=total)

    def apply(
        self, params: Tensor, state: YellowFinState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """Measure, tune, step."""
        values, factor = mean(gradients, Constant(), params=params)
        norm = min(length(values) * factor, _LONGEST)
        tuned, rate, longest = _tuned(state, values, factor, norm)
        rate *= self.lr * min(1.0, (version + 1) / _SLOW_START)
        beta = tuned if state.total is None else state.momentum
        share = factor * min(1.0, longest / norm) if norm else factor
        state.velocity.mul_(beta).add_(values, alpha=share)
        params.sub_(state.velocity, alpha=rate)
        if state.total is not None:
            state.total.step(params, gradients, [1.0] * len(gradients))
            found = state.total.total
            if found is not None:
                error = tuned - max(found, -1.0)
                state.momentum = min(max(state.momentum + _GAIN * error, -0.999), 0.999)


def _tuned(
    state: YellowFinState, values: Tensor, factor: float, norm: float
) -> tuple[float, float, float]:
    """(mu, eta, longest gradient), with this gradient taken into the running means."""
    curvature = max(norm**2, _FLOOR)
    state.curvatures.append(curvature)
    highest = math.exp(state.log_highest.add(math.log(max(state.curvatures))))
    lowest = math.exp(state.log_lowest.add(math.log(min(state.curvatures))))
    square = state.square.add(curvature)
    distance = state.distance.add(state.norm.add(norm) / square)
    state.mean.mul_(_DECAY).add_(values, alpha=(1 - _DECAY) * factor)
    state.weight = _DECAY * state.weight + (1 - _DECAY)
    of_mean = min(length(state.mean) / state.weight, _LONGEST)
    variance = max(square - of_mean**2, 0.0)
    root = _cubic_root(distance**2 * lowest**2 / 2, variance)
    wide = math.sqrt(highest / lowest)
    momentum = max(root**2, ((wide - 1) / (wide + 1)) ** 2)
    return momentum, (1 - math.sqrt(momentum)) ** 2 / lowest, math.sqrt(highest)


def _cubic_root(numerator: float, variance: float) -> float:
    """The x in [0, 1] with (numerator / variance) x = (1 - x)^3.

    >>> round(_cubic_root(1.0, 4.0), 12), _cubic_root(1.0, 0.0)
    (0.5, 0.0)
    """
    if variance <= _FLOOR * numerator:
        return 0.0
    p = numerator / variance
    if p <= _FLOOR:
        return 1.0 - math.cbrt(p)
    w = -math.cbrt((math.sqrt(p**2 + 4 / 27 * p**3) + p) / 2)
    return min(max(1.0 + w - p / (3 * w), 0.0), 1.0)
