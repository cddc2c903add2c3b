"""Groups of a script's parameters, and the rule that moves them as the script's schedulers say."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lagrad.core import Rule
from lagrad.rules import Scheduled, Split, TorchOptimizer, Wrapped, takes_factor
from lagrad.schedules import as_schedule

#: What a rule's argument may be where a group has its own.
Setting = bool | int | float | str | None | tuple[float, ...]


class Group(msgspec.Struct, frozen=True):
    """Parameters that lie together. size: elements, >= 1. settings: the rule's, where others.

    >>> Group(2, {"lr": 0.5}).settings
    {'lr': 0.5}
    """

    size: int
    settings: dict[str, Setting]

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"Expected a group of parameters, got {self.size}; leave it out.")
        for name, value in self.settings.items():
            if not isinstance(value, bool | int | float | str | tuple | None):
                raise ValueError(
                    f"Expected {name} of a group as a number, word or tuple, got {value!r}; "
                    "give the schedule to the rule, or use a scheduler of torch."
                )


def led(rule: Any, groups: Sequence[Group]) -> Rule:
    """The rule as a script leads it: by groups, at the rates of their schedulers.

    Rules around another one go on looking at the whole vector.
    Raises: ValueError for settings that the rule does not have, or refuses.

    >>> from lagrad import rules
    >>> led(rules.Clipped(rules.SGD()), [Group(3, {}), Group(2, {"lr": 0.5})]).rule.rest.rule.lr
    0.5
    """
    if isinstance(rule, Wrapped):
        outer: Any = rule
        around: Rule = dataclasses.replace(outer, rule=led(rule.rule, groups))
        return around
    parts = [_scheduled(_with(rule, group.settings), number) for number, group in enumerate(groups)]
    whole = parts.pop()
    for part, group in zip(reversed(parts), reversed(groups[:-1]), strict=True):
        whole = Split(part, whole, at=group.size)
    return whole


def _scheduled(rule: Rule, group: int) -> Rule:
    return Scheduled(rule, group) if takes_factor(rule) else rule


def follows(rule: Any) -> bool:
    """Whether schedulers of the script change the rates of a rule that is `led`."""
    match rule:
        case Scheduled():
            return True
        case Split():
            return follows(rule.first)
        case Wrapped():
            return follows(rule.rule)
    return False


def base_rates(rule: Any, groups: Sequence[Group]) -> tuple[float, ...]:
    """The first learning rate of each group; 1 for a rule that sets its own.

    >>> from lagrad import rules
    >>> base_rates(rules.SGD(lr=0.25), [Group(3, {}), Group(2, {"lr": 0.5})])
    (0.25, 0.5)
    """
    inner = _innermost(rule)
    rates = [getattr(_with(inner, group.settings), "lr", 1.0) for group in groups]
    return tuple(as_schedule(rate)(0) for rate in rates)


def require_no_factors(rule: Rule, rates: Sequence[float]) -> None:
    """Refuse a scheduler around a rule that sets its own learning rate."""
    if not follows(rule) and any(rate != 1.0 for rate in rates):
        raise ValueError(
            f"Expected no scheduler for a rule that sets its own learning rate, got the factors "
            f"{tuple(rates)}; leave the scheduler out."
        )


def _innermost(rule: Any) -> Any:
    return _innermost(rule.rule) if isinstance(rule, Wrapped) else rule


def _with(rule: Any, settings: Mapping[str, Setting]) -> Any:
    if not settings:
        return rule
    known = {field.name for field in dataclasses.fields(rule) if field.init}
    own: dict[str, Any] = {name: value for name, value in settings.items() if name in known}
    others = {name: value for name, value in settings.items() if name not in known}
    if others and isinstance(rule, TorchOptimizer):
        own["options"] = tuple({**dict(rule.options), **others}.items())
    elif others:
        raise ValueError(
            f"Expected settings of a group among {', '.join(sorted(known))}, which {rule} has, "
            f"got {', '.join(sorted(others))}; leave them out, or take another rule."
        )
    return dataclasses.replace(rule, **own)
