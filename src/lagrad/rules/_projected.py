"""Projection onto a simple set after every step of any rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lagrad.core import Gradient, Layout, Rule
from lagrad.sets import ConvexSet

from ._base import is_elementwise
from ._wrapped import Wrapped


@dataclass(frozen=True)
class Projected(Wrapped):
    """Another rule, followed by the Euclidean projection onto a convex set.

        x <- P(step of `rule` from x)

    rule: any rule; its state is untouched by the projection. onto: a set of `lagrad.sets`, over
    the whole flat vector. Workers are sent points of the set, also under look-ahead.
    Source: projected gradient descent; with stale gradients as in Sra, Yu, Li, Smola 2016,
    arXiv:1508.05003.

    >>> from lagrad import rules, sets
    >>> Projected(rules.SGD(lr=0.1), onto=sets.NonNegative()).needs_snapshots
    False
    """

    rule: Rule
    onto: ConvexSet

    @property
    def elementwise(self) -> bool:
        """If the wrapped rule and the set are."""
        return is_elementwise(self.rule) and is_elementwise(self.onto)

    def init(self, params: Tensor, layout: Layout) -> Any:
        """The wrapped rule's state."""
        return self.rule.init(params, layout)

    def weight_of(self, tau: int, *, version: int, state: Any) -> float:
        """The wrapped rule's weight."""
        return self.rule.weight_of(tau, version=version, state=state)

    def apply(
        self, params: Tensor, state: Any, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """The wrapped rule's step, then the projection."""
        self.rule.apply(params, state, gradients, version=version)
        self.onto.project(params)

    def point(self, params: Tensor, state: Any, *, version: int, expected_tau: float) -> Tensor:
        """The wrapped rule's point, projected if it is ahead of the parameters."""
        point = self.rule.point(params, state, version=version, expected_tau=expected_tau)
        if version == 0:
            # The initial parameters may lie outside; no step has projected them yet.
            point = point.clone()
        if point is not params:
            self.onto.project(point)
        return point
