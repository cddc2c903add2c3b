"""One rule for the first parameters, another one for the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor

from lagrad.core import Gradient, Layout, Rule

from ._base import is_tensorwise


@dataclass
class SplitState:
    """first, rest: the states of the two rules."""

    first: Any
    rest: Any


@dataclass(frozen=True)
class Split:
    """Two rules side by side: groups of parameters with rates, decays or momenta of their own.

        x[:at] <- first,   x[at:] <- rest

    first, rest: rules that act tensor by tensor, or element by element; another `Split` is one.
    at: > 0, elements of the vector; both rules must find some.
    Verdicts tell the weights of the first. Memory: as the two have it.
    Source: parameter groups of torch.optim.

    >>> from lagrad import rules
    >>> rule, x = Split(rules.SGD(lr=0.1), rules.SGD(lr=0.2), at=1), torch.zeros(3)
    >>> state = rule.init(x, Layout(("a", "b"), ((1,), (2,)), torch.float32))
    >>> g = Gradient(worker=0, tau=0, samples=1, values=torch.full((3,), -1.0))
    >>> rule.apply(x, state, [g], version=0)
    >>> x
    tensor([0.1000, 0.2000, 0.2000])
    """

    first: Rule
    rest: Rule
    at: int

    def __post_init__(self) -> None:
        if not isinstance(self.at, int) or self.at < 1:
            raise ValueError(f"Expected at >= 1 elements, got {self.at}; leave out what has none.")
        for rule in (self.first, self.rest):
            if not is_tensorwise(rule):
                raise ValueError(
                    f"Expected rules that act tensor by tensor, got {rule}, which looks at the "
                    "whole vector; split what it wraps, or take another rule."
                )

    @property
    def tensorwise(self) -> bool:
        """Yes."""
        return True

    @property
    def needs_snapshots(self) -> bool:
        """If one of the two does."""
        return self.first.needs_snapshots or self.rest.needs_snapshots

    @property
    def looks_ahead(self) -> bool:
        """If one of the two does."""
        return self.first.looks_ahead or self.rest.looks_ahead

    def init(self, params: Tensor, layout: Layout) -> SplitState:
        """Both states, each of its part. Raises: ValueError for a vector with no rest."""
        if self.at >= layout.size:
            raise ValueError(
                f"Expected more than {self.at} parameters to split there, got {layout.size}; "
                "give the groups of this model."
            )
        return SplitState(
            self.first.init(params[: self.at], layout.part(0, self.at)),
            self.rest.init(params[self.at :], layout.part(self.at, layout.size)),
        )

    def apply(
        self, params: Tensor, state: SplitState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """Both steps."""
        for rule, inner, part in self._parts(state):
            parts = [_part_of(gradient, part) for gradient in gradients]
            rule.apply(params[part], inner, parts, version=version)

    def _parts(self, state: SplitState) -> tuple[tuple[Rule, Any, slice], ...]:
        return (
            (self.first, state.first, slice(0, self.at)),
            (self.rest, state.rest, slice(self.at, None)),
        )

    def weight_of(self, tau: int, *, version: int, state: SplitState) -> float:
        """The first rule's weight."""
        return self.first.weight_of(tau, version=version, state=state.first)

    def point(
        self, params: Tensor, state: SplitState, *, version: int, expected_tau: float
    ) -> Tensor:
        """The points of both; `params` itself where both send that."""
        points, moved = [], False
        for rule, inner, part in self._parts(state):
            own = params[part]
            points.append(rule.point(own, inner, version=version, expected_tau=expected_tau))
            moved = moved or points[-1] is not own
        return torch.cat(points) if moved else params


def _part_of(gradient: Gradient, part: slice) -> Gradient:
    snapshot = None if gradient.snapshot is None else gradient.snapshot[part]
    return msgspec.structs.replace(gradient, values=gradient.values[part], snapshot=snapshot)
