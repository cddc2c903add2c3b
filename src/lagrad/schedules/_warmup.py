"""A gentle start for another schedule."""

from dataclasses import dataclass

from ._rate import require_updates
from ._schedule import Schedule


@dataclass(frozen=True)
class Warmup:
    """Another schedule, reached along a straight line over the first updates.

        eta(v) = schedule(v) min(1, (v + 1) / updates)

    schedule: any schedule, at its own versions. updates: int >= 1, server updates; from version
    `updates` - 1 on the schedule holds in full.
    Raises: ValueError for updates < 1, or a number in place of the schedule.
    Source: gradual warm-up of Goyal et al. 2017, arXiv:1706.02677. Large staleness hurts most
    early in training, so that asynchronous runs gain from it (as in DANA, arXiv:1907.11612).

    >>> from lagrad.schedules import Constant
    >>> schedule = Warmup(Constant(1.0), updates=4)
    >>> [schedule(version) for version in (0, 1, 3, 100)]
    [0.25, 0.5, 1.0, 1.0]
    """

    schedule: Schedule
    updates: int

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise ValueError(
                f"Expected a schedule, got {self.schedule!r}; write Constant({self.schedule!r}) "
                "for a rate that stays."
            )
        require_updates(self.updates)

    def __call__(self, version: int) -> float:
        """The rate at `version`."""
        return self.schedule(version) * min(1.0, (version + 1) / self.updates)
