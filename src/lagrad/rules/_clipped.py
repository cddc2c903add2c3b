"""Gradients much longer than usual are shortened before any rule sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from torch import Tensor

from lagrad.core import Gradient, Layout, Rule, RunningMedian, length, terms_ahead

from ._base import is_plain
from ._wrapped import Wrapped


@dataclass
class ClippedState:
    """inner: the wrapped rule's state. norms: of recent gradients, as they came."""

    inner: Any
    norms: RunningMedian


@dataclass(frozen=True)
class Clipped(Wrapped):
    """Another rule, fed with gradients of at most a given length, or `factor` times the usual one.

        g <- g min(1, c / ||g||),   c = longest, or factor * median

    median: of the Euclidean norms of the last 128 gradients before this step, as they came; until
    one has come, and while it is 0, nothing is shortened. factor: > 0. longest: > 0, or None.
    Where curvature grows in training, gradients computed at old or far points explode within a
    few steps and, with momentum, end the run; shortened, they cost one step of usual length.
    Memory: 128 numbers, and one vector while a gradient is shortened.
    Source: clipping by the history of norms as in AutoClip (Seetharaman, Wichern, Pardo, Le Roux
    2020, arXiv:2007.14469); deviation: a multiple of a running median, not a percentile of all.
    A constant length around SGD: clipped asynchronous SGD (Erickson, Johansson 2026,
    arXiv:2606.13287, second hand), which raced 0.5, 1, 2 and 4.

    >>> import torch
    >>> from lagrad import rules
    >>> rule = Clipped(rules.SGD(lr=1.0), factor=2.0)
    >>> x = torch.zeros(1)
    >>> state = rule.init(x, Layout(("x",), ((1,),), torch.float32))
    >>> for version, g in enumerate([-1.0, -1.0, -50.0]):
    ...     g = Gradient(worker=0, tau=0, samples=1, values=torch.tensor([g]))
    ...     rule.apply(x, state, [g], version=version)
    >>> x.item()
    4.0
    """

    rule: Rule
    factor: float = 2.0
    longest: float | None = None

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise ValueError(f"Expected factor > 0, got {self.factor}; use 2, or the rule itself.")
        if self.longest is not None and not self.longest > 0:
            raise ValueError(
                f"Expected longest > 0 or None, got {self.longest}; None follows the usual length."
            )

    @property
    def elementwise(self) -> bool:
        """Given the lengths of gradients, if the wrapped rule can do without."""
        return is_plain(self.rule)

    @property
    def takes_lengths(self) -> bool:
        """Yes: they are what it compares."""
        return True

    def init(self, params: Tensor, layout: Layout) -> ClippedState:
        """The wrapped rule's state, and no norms yet."""
        return ClippedState(self.rule.init(params, layout), RunningMedian())

    def apply(
        self, params: Tensor, state: ClippedState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """The wrapped rule's step with what is left of the gradients."""
        # All of a step are held to the same length, so that their order does not matter.
        longest = self.factor * state.norms.value() if self.longest is None else self.longest
        shortened = []
        for gradient in gradients:
            norm = length(gradient.values) if gradient.length is None else gradient.length
            state.norms.add(norm)
            if not 0.0 < longest < norm:
                shortened.append(gradient)
                continue
            values = gradient.values * (longest / norm)
            shortened.append(msgspec.structs.replace(gradient, values=values, length=None))
        self.rule.apply(params, state.inner, shortened, version=version)

    def terms_ahead(
        self, state: ClippedState, *, version: int, expected_tau: float
    ) -> Sequence[tuple[Tensor, float]] | None:
        """The wrapped rule's."""
        return terms_ahead(self.rule, state.inner, version=version, expected_tau=expected_tau)
