"""What the rules share: the weighted mean of a step, and the answers most rules give."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from lagrad.core import Gradient, Weight
from lagrad.schedules import Schedule, as_schedule


def weighted_sum(weighted: Sequence[tuple[Tensor, float]]) -> tuple[Tensor, float]:
    """(v, a) such that a v = sum of weight * values; a single vector is not copied, a = 1 else.

    >>> import torch
    >>> weighted_sum([(torch.ones(2), 0.25)])
    (tensor([1., 1.]), 0.25)
    """
    (first, weight), *others = weighted
    if not others:
        return first, weight
    values = first * weight
    for vector, share in others:
        values.add_(vector, alpha=share)
    return values, 1.0


def mean(
    gradients: Sequence[Gradient],
    weight: Callable[[int], float],
    *,
    params: Tensor | None = None,
    weight_decay: float = 0.0,
) -> tuple[Tensor, float]:
    """(v, a) such that a v = sum_i w(tau_i) samples_i g_i / sum_i samples_i + lambda x.

    The divisor counts samples, not weights: a gradient of weight 1/2 moves half as far. Where one
    gradient makes the step and nothing is added, v is that gradient itself (read only) and no
    vector is written; else v is new and a = 1. params: x, where there is weight decay.
    """
    if len(gradients) == 1:
        values, factor = gradients[0].values, weight(gradients[0].tau)
    else:
        samples = sum(gradient.samples for gradient in gradients)
        values, factor = weighted_sum(
            [(g.values, weight(g.tau) * (g.samples / samples)) for g in gradients]
        )
    if weight_decay:
        # The same operations as torch.optim.SGD, for equal bits.
        assert params is not None
        scaled = values if factor == 1.0 else values * factor
        values, factor = scaled.add(params, alpha=weight_decay), 1.0
    return values, factor


class Rated:
    """For rules with a learning rate, a number or a schedule on the version."""

    lr: float | Schedule

    @cached_property
    def _schedule(self) -> Schedule:
        return as_schedule(self.lr)

    def require_rate(self) -> None:
        """Refuse a rate out of range."""
        self._schedule  # noqa: B018 -- making it checks it

    def rate(self, version: int) -> float:
        """The learning rate of step `version`."""
        return self._schedule(version)


class Weighted:
    """For rules whose gradients enter with a weight of their staleness."""

    weight: Weight

    def weight_of(self, tau: int, *, version: int, state: Any) -> float:
        """w(tau)."""
        del version, state
        return self.weight(tau)


class Unweighted:
    """For rules that count late gradients in full."""

    def weight_of(self, tau: int, *, version: int, state: Any) -> float:
        """1, however late."""
        del tau, version, state
        return 1.0


class NeedsGradientsAlone:
    """For rules to whose answers neither snapshots nor the expected staleness matter."""

    @property
    def needs_snapshots(self) -> bool:
        """No: the gradients alone suffice."""
        return False

    @property
    def looks_ahead(self) -> bool:
        """No: what workers are sent does not depend on how late they are expected."""
        return False


class SendsParams(NeedsGradientsAlone):
    """For rules that send the parameters as they are."""

    def point(self, params: Tensor, state: Any, *, version: int, expected_tau: float) -> Tensor:
        """The parameters themselves."""
        del state, version, expected_tau
        return params


class Elementwise:
    """For rules that act on every element alike, which may be applied slice by slice."""

    @property
    def elementwise(self) -> bool:
        """Yes: a slice of every vector brings that slice of the result."""
        return True

    @property
    def takes_lengths(self) -> bool:
        """No: `Gradient.length` does not matter."""
        return False


def is_elementwise(rule: object) -> bool:
    """Whether a rule says that it may be applied slice by slice, given each gradient's length."""
    return bool(getattr(rule, "elementwise", False))


def is_tensorwise(rule: object) -> bool:
    """Whether a rule may be applied tensor by tensor, or slice by slice without the lengths."""
    return is_plain(rule) or bool(getattr(rule, "tensorwise", False))


def is_plain(rule: object) -> bool:
    """Whether it may be so without being given the lengths."""
    return is_elementwise(rule) and not takes_lengths(rule)


def takes_lengths(rule: object) -> bool:
    """Whether `Gradient.length` matters to a rule.

    One that does not say is taken to make use of it where it may be given slices, which do not show
    it the whole.
    """
    return bool(getattr(rule, "takes_lengths", is_elementwise(rule)))


def require_momentum(momentum: float) -> None:
    """Refuse what is not in [0, 1)."""
    if not 0 <= momentum < 1:
        raise ValueError(f"Expected momentum in [0, 1), got {momentum}; use 0 for none.")


def require_workers(workers: int) -> None:
    """Refuse less than one, and what is no whole number."""
    if not isinstance(workers, int) or workers < 1:
        raise ValueError(f"Expected at least 1 worker, got {workers}; give how many take part.")


def require_decay(weight_decay: float) -> None:
    """Refuse a negative weight decay."""
    if not 0 <= weight_decay < math.inf:
        raise ValueError(
            f"Expected a finite weight_decay >= 0, got {weight_decay}; use 0 for none."
        )
