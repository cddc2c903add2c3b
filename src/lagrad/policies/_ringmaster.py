"""Asynchronous, but gradients as late as `limit` versions or later are dropped."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class Ringmaster(Named):
    """Asynchronous, but gradients as late as `limit` versions or later are dropped.

    A gradient is applied iff tau < limit. limit: int >= 1.
    Source: Maranjyan, Tyurin, Richtarik 2025, arXiv:2501.16168, algorithm 1; deviation: jobs that
    have become too late are not interrupted (their algorithm 2).
    """

    limit: int = 8

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"Expected limit >= 1, got {self.limit}; with 0 nothing is applied.")
        super().__post_init__()

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=1, max_staleness=self.limit - 1)
