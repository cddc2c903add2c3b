"""Workers are sent the point on the line through the last two parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout, Rule

from ._wrapped import Wrapped


@dataclass
class WeightPredictionState:
    """inner: the wrapped rule's state. step: x_t - x_{t-1} [P], zero before the first step."""

    inner: Any
    step: Tensor


@dataclass(frozen=True)
class WeightPrediction(Wrapped):
    """Another rule, whose workers are sent a linear extrapolation of the parameters.

        sent: x_t + T (x_t - x_{t-1})

    rule: any rule, which also says what x_t is extrapolated from if it looks ahead itself.
    steps: T >= 0, versions; None: the expected staleness, a running median.
    Memory: the rule's and one vector.
    Source: linear weight prediction in its weight form, Kosson et al. 2021, arXiv:2003.11666;
    equations from memory, dynamics verified numerically. The paper has a known, constant delay.

    >>> from lagrad import rules
    >>> WeightPrediction(rules.Momentum(lr=0.1)).looks_ahead
    True
    """

    rule: Rule
    steps: float | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and not 0 <= self.steps < math.inf:
            raise ValueError(
                f"Expected finite steps >= 0 or None, got {self.steps}; "
                "None follows the observed staleness."
            )

    @property
    def looks_ahead(self) -> bool:
        """If it follows the staleness, or the wrapped rule does."""
        return self.steps is None or self.rule.looks_ahead

    def init(self, params: Tensor, layout: Layout) -> WeightPredictionState:
        """The wrapped rule's state; nothing has moved."""
        return WeightPredictionState(self.rule.init(params, layout), torch.zeros_like(params))

    def apply(
        self,
        params: Tensor,
        state: WeightPredictionState,
        gradients: Sequence[Gradient],
        *,
        version: int,
    ) -> None:
        """The wrapped rule's step, which is kept."""
        state.step.copy_(params)
        self.rule.apply(params, state.inner, gradients, version=version)
        torch.sub(params, state.step, out=state.step)

    def point(
        self, params: Tensor, state: WeightPredictionState, *, version: int, expected_tau: float
    ) -> Tensor:
        """As many more steps like the last one ahead."""
        base = self.rule.point(params, state.inner, version=version, expected_tau=expected_tau)
        return base.add(state.step, alpha=expected_tau if self.steps is None else self.steps)
