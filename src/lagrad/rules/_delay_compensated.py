"""Late gradients, corrected to first order by how far the parameters have moved since."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor

from lagrad.core import Gradient, Layout, Rule

from ._base import is_plain
from ._wrapped import Wrapped

_EPSILON = 1e-7


@dataclass
class DelayCompensatedState:
    """inner: the wrapped rule's state. mean_square: running mean of g^2 [P], or None."""

    inner: Any
    mean_square: Tensor | None


@dataclass(frozen=True)
class DelayCompensated(Wrapped):
    """Another rule, fed with gradients brought from where they were computed to where x is now.

        g <- g + lambda g * g * (x - x_i)             x_i: what the worker was sent
        decay m:  M <- m M + (1 - m) g^2,  lambda = strength / sqrt(M + 1e-7), by coordinate

    g * g stands for the diagonal of the Hessian. strength: >= 0. decay: in [0, 1), or None for a
    constant lambda. Sent: what `rule` sends. Memory: the rule's, one vector with decay, and the
    snapshot of each worker. The paper's values are 0.04, or 2 with decay 0.95.
    Around SGD this is DC-ASGD, around `WorkerMomenta` DANA-DC.
    Source: Zheng et al. 2017, arXiv:1609.08326. Deviation: in a step of several gradients, all are
    compared with x before it, and M takes in the mean of their squares.

    >>> from lagrad import rules
    >>> DelayCompensated(rules.SGD(lr=0.1)).needs_snapshots
    True
    """

    rule: Rule
    strength: float = 0.04
    decay: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength < math.inf:
            raise ValueError(
                f"Expected a finite strength >= 0, got {self.strength}; "
                "use 0.04, or 2 with a decay of 0.95."
            )
        if self.decay is not None and not 0 <= self.decay < 1:
            raise ValueError(
                f"Expected decay in [0, 1) or None, got {self.decay}; use 0.95, or None for a "
                "constant strength."
            )

    @property
    def needs_snapshots(self) -> bool:
        """Yes: what each worker was sent."""
        return True

    @property
    def elementwise(self) -> bool:
        """If the wrapped rule is without being told the lengths of what is corrected here."""
        return is_plain(self.rule)

    def init(self, params: Tensor, layout: Layout) -> DelayCompensatedState:
        """The wrapped rule's state, and no mean square yet."""
        square = None if self.decay is None else torch.zeros_like(params)
        return DelayCompensatedState(self.rule.init(params, layout), square)

    def apply(
        self,
        params: Tensor,
        state: DelayCompensatedState,
        gradients: Sequence[Gradient],
        *,
        version: int,
    ) -> None:
        """The wrapped rule's step with the corrected gradients."""
        strength: float | Tensor = self.strength
        if state.mean_square is not None:
            assert self.decay is not None
            samples = sum(gradient.samples for gradient in gradients)
            state.mean_square.mul_(self.decay)
            for gradient in gradients:
                share = (1.0 - self.decay) * gradient.samples / samples
                state.mean_square.addcmul_(gradient.values, gradient.values, value=share)
            strength = state.mean_square.add(_EPSILON).rsqrt_().mul_(self.strength)
        corrected = []
        for gradient in gradients:
            assert gradient.snapshot is not None
            # In this order, where nothing has moved nothing is missing, however large g is.
            missing = params.sub(gradient.snapshot).mul_(gradient.values).mul_(gradient.values)
            missing.mul_(strength)
            values = gradient.values + missing
            corrected.append(msgspec.structs.replace(gradient, values=values, length=None))
        self.rule.apply(params, state.inner, corrected, version=version)
