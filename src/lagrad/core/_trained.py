"""What is trained: parameters, buffers and averaged weights, and the rule that moves them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._average import Average
from ._buffers import BufferPolicy, combine
from ._holder import Holder, InPlace
from ._interfaces import Gradient, Rule
from ._layout import Layout
from ._ledger import Ledger
from ._messages import Push
from ._total_momentum import TotalMomentum


@dataclass(frozen=True)
class Snapshot:
    """All that a step changes, as it was after the step that made `version`."""

    version: int
    params: Tensor
    state: Any
    buffers: Tensor | None
    average: Tensor | None


class Trained:
    """What a step changes; the arguments are those of `Server`.

    buffers: a new tensor whenever they change.
    total_momentum: measured at every step, from which it takes nothing back.
    """

    #: What a checkpoint keeps; the point, too, since it was asked for once.
    CHANGES = (
        "params",
        "buffers",
        "_state",
        "_average",
        "_point",
        "_restored_at",
        "total_momentum",
    )

    def __init__(
        self,
        params: Tensor,
        *,
        layout: Layout,
        rule: Rule,
        buffers: Tensor | None,
        counters: Tensor | None,
        buffer_policy: BufferPolicy,
        ema: float | None,
    ) -> None:
        if params.shape != (layout.size,) or params.dtype != layout.dtype:
            raise ValueError(
                f"Expected params of {layout.size} elements of {layout.dtype}, "
                f"got {tuple(params.shape)} of {params.dtype}; pack them by the same layout."
            )
        if ema is not None and not 0 <= ema < 1:
            raise ValueError(
                f"Expected ema in [0, 1) or None, got {ema}; give a decay such as 0.99."
            )
        self.holder: Holder = InPlace(params)
        self.layout = layout
        self.total_momentum = TotalMomentum(params)
        self.rule = rule
        self.buffers = buffers
        self._rule_state: Any = rule.init(params, layout)
        self._average = None if ema is None else Average(ema, params.clone())
        if buffers is not None and counters is None:
            counters = torch.zeros_like(buffers, dtype=torch.bool)
        self._counters = counters
        self._buffer_policy = buffer_policy
        self._point: Tensor | None = None
        self._restored_at = 0

    @property
    def params(self) -> Tensor:
        """The parameters, [P]; read only. After the next step they may lie elsewhere."""
        return self.holder.params

    @params.setter
    def params(self, params: Tensor) -> None:
        if params is not self.holder.params:
            self.holder.replace(params)

    @property
    def _state(self) -> Any:
        self.holder.settle()
        return self._rule_state

    @_state.setter
    def _state(self, state: Any) -> None:
        self._rule_state = state

    @property
    def evaluation_params(self) -> Tensor:
        """The averaged weights if they are kept, else the parameters."""
        return self.params if self._average is None else self._average.values

    def point(self, ledger: Ledger) -> Tensor:
        """What a worker is sent now: the same vector for all until the next step."""
        if self._point is None:
            expected_tau = ledger.taus.value() if self.rule.looks_ahead else 0.0
            self._point = self.holder.point(
                self.rule, self._rule_state, version=ledger.version, expected_tau=expected_tau
            )
        return self._point

    def weight_of(self, tau: int, *, version: int) -> float:
        """The factor with which a gradient late by `tau` entered step `version`, the last one."""
        return self.rule.weight_of(tau, version=version, state=self._rule_state)

    def step(
        self,
        gradients: Sequence[Gradient],
        *,
        version: int,
        buffers: Sequence[Tensor | None] = (),
    ) -> list[float]:
        """Take step number `version`; the weight of each gradient.

        buffers: what came with each, where the model has any.
        """
        weights = self._move(gradients, version=version)
        self.total_momentum.step(self.holder, gradients, weights)
        if self.buffers is not None:
            assert self._counters is not None
            pushed = [
                (gradient.samples, values)
                for gradient, values in zip(gradients, buffers, strict=True)
                if values is not None
            ]
            combined = combine(self._buffer_policy, pushed, self._counters)
            if combined is not None:
                self.buffers = combined
        return weights

    def step_alone(self, gradient: Gradient, *, version: int) -> float:
        """Likewise with one gradient, of a model without buffers; `total_momentum` is not told."""
        [weight] = self._move((gradient,), version=version)
        return weight

    def _move(self, gradients: Sequence[Gradient], *, version: int) -> list[float]:
        self._point = None
        self.holder.step(self.rule, self._rule_state, gradients, version=version)
        weights = [self.weight_of(gradient.tau, version=version) for gradient in gradients]
        if self._average is not None:
            self._average.update(self.params, version=version + 1)
        return weights

    def snapshot(self, *, version: int) -> Snapshot:
        """A copy of everything, taken at `version`."""
        average = None if self._average is None else self._average.values.clone()
        # Buffers are replaced, never written.
        return Snapshot(version, self.params.clone(), self._copied(), self.buffers, average)

    def _copied(self) -> Any:
        # A state that refers to the parameters goes on referring to them.
        return copy.deepcopy(self._state, {id(self.params): self.params})

    def restore(self, snapshot: Snapshot, *, version: int) -> None:
        """Everything is as the snapshot says, at `version`, from now on; it may be used again."""
        self.holder.replace(snapshot.params)
        self._state = snapshot.state
        self._state = self._copied()
        self.buffers = snapshot.buffers
        if self._average is not None:
            assert snapshot.average is not None
            self._average.values.copy_(snapshot.average)
        self._point = None
        self._restored_at = version

    def outdated(self, push: Push) -> str:
        """Why a gradient of parameters that were given up is dropped; empty for others."""
        if push.version >= self._restored_at:
            return ""
        return f"the parameters of version {push.version} were given up: the loss had jumped"
