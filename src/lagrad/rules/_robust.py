"""A robust mean in place of the mean, before any rule sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lagrad.aggregations import Aggregation, CoordinateMedian
from lagrad.core import Gradient, Layout, Rule

from ._base import is_plain
from ._worker_momenta import WorkerMomenta
from ._wrapped import Wrapped


@dataclass
class RobustState:
    """inner: the wrapped rule's state."""

    inner: Any


@dataclass(frozen=True)
class Robust(Wrapped):
    """Another rule, fed with one robust mean of each step's gradients.

        B_t -> { A(g_1, ..., g_n) },   samples: of all together,   tau: the median of the step's

    rule: one that takes the mean of the gradients: it sees one, of no worker's (number -1).
    aggregation: A. Every gradient counts once, whatever its samples: a count is no more to be
    trusted than a gradient. For policies whose steps hold several gradients. Memory: n vectors.
    Raises: ValueError for a rule that follows each worker by itself.
    Source: that of the aggregation.

    >>> import torch
    >>> from lagrad import rules
    >>> rule = Robust(rules.SGD(lr=1.0), CoordinateMedian())
    >>> x = torch.zeros(1)
    >>> state = rule.init(x, Layout(("x",), ((1,),), torch.float32))
    >>> step = [Gradient(worker=i, tau=0, samples=1, values=torch.tensor([g]))
    ...         for i, g in enumerate([-1.0, -2.0, 5e9])]
    >>> rule.apply(x, state, step, version=0)
    >>> x.item()
    1.0
    """

    rule: Rule
    aggregation: Aggregation = CoordinateMedian()

    def __post_init__(self) -> None:
        if _follows_workers(self.rule):
            raise ValueError(
                "Expected a rule that takes the mean of a step's gradients, got "
                f"{self.rule}, which follows each worker; use one such as Momentum."
            )

    @property
    def elementwise(self) -> bool:
        """If the wrapped rule and the aggregation are."""
        return is_plain(self.rule) and self.aggregation.elementwise

    def init(self, params: Tensor, layout: Layout) -> RobustState:
        """The wrapped rule's state."""
        return RobustState(self.rule.init(params, layout))

    def apply(
        self, params: Tensor, state: RobustState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """The wrapped rule's step with the robust mean."""
        taus = sorted(gradient.tau for gradient in gradients)
        common = Gradient(
            worker=-1,
            tau=taus[(len(taus) - 1) // 2],
            samples=sum(gradient.samples for gradient in gradients),
            rates=gradients[-1].rates,
            values=self.aggregation(torch.stack([gradient.values for gradient in gradients])),
        )
        self.rule.apply(params, state.inner, [common], version=version)


def _follows_workers(rule: Rule) -> bool:
    if rule.needs_snapshots or hasattr(rule, "workers") or isinstance(rule, WorkerMomenta):
        return True
    return isinstance(rule, Wrapped) and _follows_workers(rule.rule)
