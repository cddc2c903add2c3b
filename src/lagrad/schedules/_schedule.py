"""The contract of a schedule, and the short way to write a constant one."""

from typing import Protocol

from ._constant import Constant


class Schedule(Protocol):
    """A learning rate, finite and >= 0, for every version of the server.

    version: int >= 0, how many updates the server has applied; a schedule is a pure function of it.
    """

    def __call__(self, version: int, /) -> float:
        """The rate of the update that leads from `version` to `version` + 1."""
        ...


def as_schedule(lr: float | Schedule) -> Schedule:
    """A number becomes a constant schedule; a schedule is returned as it is.

    lr: float, finite and >= 0, or a schedule.
    Raises: ValueError for a number that is negative or not finite, or for neither.

    >>> as_schedule(0.1)
    Constant(lr=0.1)
    >>> as_schedule(Constant(lr=0.2))
    Constant(lr=0.2)
    """
    if callable(lr):
        return lr
    try:
        return Constant(float(lr))
    except (TypeError, OverflowError) as error:
        raise ValueError(
            f"Expected a learning rate as a number or a schedule, got {lr!r}; "
            "a schedule maps the server's version to a rate."
        ) from error
