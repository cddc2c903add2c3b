"""The contract of a schedule, and numbers that serve as one."""

import math
from typing import Protocol, runtime_checkable


@runtime_checkable
class Schedule(Protocol):
    """A learning rate that depends on the version, the number of steps taken."""

    def __call__(self, version: int, /) -> float:
        """The rate of the step from `version` to `version + 1`."""
        ...


def rate_at(lr: float | Schedule, version: int) -> float:
    """The learning rate of a step; a number is the same at every version.

    >>> rate_at(0.1, 7)
    0.1
    """
    return lr(version) if isinstance(lr, Schedule) else lr


def require_rate(name: str, rate: float | Schedule) -> None:
    """Refuse a rate that is negative or not finite; a schedule has checked itself.

    Raises: ValueError.
    """
    if not isinstance(rate, Schedule) and not 0 <= rate < math.inf:
        raise ValueError(f"Expected a finite {name} >= 0, got {rate}.")
