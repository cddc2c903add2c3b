"""A learning rate that follows factors which come with the gradients."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lagrad.core import Gradient, Layout, Rule
from lagrad.schedules import Schedule, as_schedule

from ._base import is_tensorwise
from ._wrapped import Wrapped


@dataclass
class ScheduledState:
    """inner: the wrapped rule's state. factor: on its learning rate, as told last."""

    inner: Any
    factor: float = 1.0


@dataclass(frozen=True)
class Scheduled(Wrapped):
    """Another rule, whose learning rate is multiplied by what the workers say.

        eta <- eta_rule(version) r,   r: of the step's last gradient that tells one, kept until then

    rule: one with a learning rate that may be a schedule. group: which of the factors of
    `Gradient.rates` is meant; gradients with fewer tell none. Before any: r = 1.
    Raises: ValueError for a rule that sets its own learning rate.

    >>> import torch
    >>> from lagrad import rules
    >>> rule, x = Scheduled(rules.SGD(lr=0.1)), torch.zeros(1)
    >>> state = rule.init(x, Layout(("x",), ((1,),), torch.float32))
    >>> for version, rates in enumerate([(), (0.5,), ()]):
    ...     g = Gradient(worker=0, tau=0, samples=1, values=torch.tensor([-1.0]), rates=rates)
    ...     rule.apply(x, state, [g], version=version)
    >>> round(x.item(), 6)
    0.2
    """

    rule: Rule
    group: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.group, int) or self.group < 0:
            raise ValueError(f"Expected a group >= 0, got {self.group}; they are counted from 0.")
        if not takes_factor(self.rule):
            raise ValueError(
                "Expected a rule whose learning rate may be a schedule, got "
                f"{self.rule}, which sets its own; leave the scheduler out."
            )

    @property
    def tensorwise(self) -> bool:
        """As the wrapped rule is."""
        return is_tensorwise(self.rule)

    def init(self, params: Tensor, layout: Layout) -> ScheduledState:
        """The wrapped rule's state, and its own learning rate."""
        return ScheduledState(self.rule.init(params, layout))

    def apply(
        self, params: Tensor, state: ScheduledState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """The wrapped rule's step at the rate that is told."""
        told = [g.rates[self.group] for g in gradients if len(g.rates) > self.group]
        if told:
            state.factor = told[-1]
        rule = _at(self.rule, state.factor)
        rule.apply(params, state.inner, gradients, version=version)

    def weight_of(self, tau: int, *, version: int, state: ScheduledState) -> float:
        """The wrapped rule's weight."""
        return _at(self.rule, state.factor).weight_of(tau, version=version, state=state.inner)

    def point(
        self, params: Tensor, state: ScheduledState, *, version: int, expected_tau: float
    ) -> Tensor:
        """The wrapped rule's point at the rate that was told last."""
        rule = _at(self.rule, state.factor)
        return rule.point(params, state.inner, version=version, expected_tau=expected_tau)


@dataclass(frozen=True)
class _Times:
    """A schedule times a factor."""

    schedule: Schedule
    factor: float

    def __call__(self, version: int) -> float:
        return self.schedule(version) * self.factor


def takes_factor(rule: Rule) -> bool:
    """Whether a rule has a learning rate that may be a schedule.

    >>> from lagrad import rules
    >>> takes_factor(rules.SGD()), takes_factor(rules.YellowFin())
    (True, False)
    """
    try:
        return hasattr(rule, "lr") and _at(rule, 0.5) is not rule
    except TypeError:  # its rate must be a number
        return False


def _at(rule: Rule, factor: float) -> Rule:
    """The rule with its learning rate times the factor."""
    if factor == 1.0:
        return rule
    rated: Any = rule
    scaled: Rule = dataclasses.replace(rated, lr=_Times(as_schedule(rated.lr), factor))
    return scaled
