"""A slice of the trained vector: what a shard keeps and does, without its sockets."""

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lagrad.core import Average, Gradient, Layout, Rule
from lagrad.runtimes.wire._messages import Apply, Key

#: Slices begin at multiples of it: vector instructions then take the same elements together as
#: they do on the whole vector, so that the bits agree.
_ALIGNED = 1024


def bounds(numel: int, shards: int) -> tuple[tuple[int, int], ...]:
    """(start, stop) of the slices of a vector, about equally long.

    Raises: ValueError for a vector too short for so many.

    >>> bounds(5000, 2)
    ((0, 2048), (2048, 5000))
    """
    blocks = -(-numel // _ALIGNED)
    if blocks < shards:
        raise ValueError(
            f"Expected at most {blocks} servers for {numel} parameters, {_ALIGNED} for each at "
            f"least, got {shards}; use fewer."
        )
    cuts = [blocks * shard // shards * _ALIGNED for shard in range(shards)] + [numel]
    return tuple(itertools.pairwise(cuts))


@dataclass
class SliceState:
    """Everything that a second shard of the same slice needs. Keys name pushes.

    waiting: slices of gradients that have come. snapshots: what workers were sent, for rules that
    ask for it. latest: highest sequence of each (worker, incarnation). refused: pushes of which
    nothing will be applied, should their slice come later.
    """

    params: Tensor
    rule_state: Any
    average: Average | None
    version: int = 0
    waiting: dict[Key, tuple[Tensor, Tensor | None]] = field(default_factory=dict)
    snapshots: dict[int, Tensor] = field(default_factory=dict)
    latest: dict[int, tuple[int, int]] = field(default_factory=dict)
    refused: set[Key] = field(default_factory=set)


class SliceKeeper:
    """Applies a rule to its slice as it is told, in the order of versions.

    The rule must be elementwise. A second keeper that is told the same computes the same bits.
    """

    def __init__(self, rule: Rule, state: SliceState) -> None:
        self.rule = rule
        self.state = state
        self._point: Tensor | None = None

    @classmethod
    def new(cls, rule: Rule, params: Tensor, *, ema: float | None) -> "SliceKeeper":
        """Before the first step."""
        layout = Layout(("slice",), (tuple(params.shape),), params.dtype)
        average = None if ema is None else Average(ema, params.clone())
        return cls(rule, SliceState(params, rule.init(params, layout), average))

    @property
    def evaluation_params(self) -> Tensor:
        """The averaged weights if they are kept, else the parameters."""
        average = self.state.average
        return self.state.params if average is None else average.values

    def knows(self, key: Key) -> bool:
        """Whether the slice of a push, or of a later one of its worker, has come."""
        latest = self.state.latest.get(key.worker, (-1, -1))
        return (key.incarnation, key.sequence) <= latest

    def put(self, key: Key, values: Tensor) -> bool:
        """Take a copy of a push's slice; whether all of it is finite.

        A slice that comes again changes nothing.
        """
        state = self.state
        if key in state.waiting:
            values = state.waiting[key][0]
        elif key in state.refused:
            state.refused.discard(key)
        elif not self.knows(key):
            state.latest[key.worker] = (key.incarnation, key.sequence)
            snapshot = state.snapshots.get(key.worker) if self.rule.needs_snapshots else None
            state.waiting[key] = (values.clone(), snapshot)
        return math.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())

    def discard(self, key: Key) -> None:
        """A push will not be applied, whether its slice has come or not."""
        state = self.state
        if state.waiting.pop(key, None) is None and not self.knows(key):
            state.refused = {each for each in state.refused if each.worker != key.worker}
            state.refused.add(key)

    def apply(self, order: Apply) -> None:
        """Take a step with slices that have come."""
        state = self.state
        assert order.version == state.version, (order.version, state.version)
        gradients = []
        for share in order.shares:
            values, snapshot = state.waiting.pop(share.key)
            gradients.append(
                Gradient(
                    worker=share.key.worker,
                    tau=share.tau,
                    samples=share.samples,
                    values=values,
                    snapshot=snapshot,
                    length=share.length,
                )
            )
        self._point = None
        self.rule.apply(state.params, state.rule_state, gradients, version=order.version)
        state.version += 1
        if state.average is not None:
            state.average.update(state.params, version=state.version)

    def point(self, worker: int, *, expected_tau: float) -> Tensor:
        """This slice of what a worker is sent now."""
        state = self.state
        if self._point is None:
            self._point = self.rule.point(
                state.params, state.rule_state, version=state.version, expected_tau=expected_tau
            )
        if self.rule.needs_snapshots:
            state.snapshots[worker] = self._point.clone()
        return self._point
