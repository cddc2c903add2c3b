"""Learning rates that follow the script's own scheduler."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from lagrad.core import Rule
from lagrad.schedules import Schedule, as_schedule


@dataclass(eq=False)
class Told:
    """A schedule times a factor that is set from outside.

    >>> told = Told(as_schedule(0.1))
    >>> told.factor = 0.5
    >>> told(7)
    0.05
    """

    schedule: Schedule
    factor: float = 1.0

    def __call__(self, version: int) -> float:
        """The schedule's rate times the factor of now."""
        return self.schedule(version) * self.factor


def follow(rule: Any) -> tuple[Rule, Told | None]:
    """The rule with its learning rate told, also inside of rules around it; None: it has none.

    >>> from lagrad import rules
    >>> rule, told = follow(rules.Clipped(rules.SGD(lr=0.1)))
    >>> told.factor = 0.5
    >>> rule.rule.rate(0)
    0.05
    """
    if hasattr(rule, "lr"):
        told = Told(as_schedule(rule.lr))
        try:
            return dataclasses.replace(rule, lr=told), told
        except TypeError:  # its rate must be a number
            return rule, None
    if hasattr(rule, "rule"):
        inner, found = follow(rule.rule)
        return dataclasses.replace(rule, rule=inner), found
    return rule, None


def base_rate(rule: Any) -> float:
    """The rule's first learning rate; 1 for a rule that sets its own."""
    if hasattr(rule, "lr"):
        return as_schedule(rule.lr)(0)
    return base_rate(rule.rule) if hasattr(rule, "rule") else 1.0


def require_no_factor(told: Told | None, factor: float) -> None:
    """Refuse a scheduler around a rule that sets its own learning rate."""
    if told is None and factor != 1.0:
        raise ValueError(
            f"Expected no scheduler for a rule that sets its own learning rate, got the factor "
            f"{factor}; leave the scheduler out."
        )
