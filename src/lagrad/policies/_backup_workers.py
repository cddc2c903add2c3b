"""Step without the slowest `backups` workers and drop their gradients."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class BackupWorkers(Named):
    """Step without the slowest `backups` workers and drop their gradients.

    With N live workers the first N - backups fresh gradients make the step; a gradient that comes
    after its step is dropped, and its worker goes on from the newest parameters.
    backups: int >= 0; 0 is Synchronous.
    Source: Chen, Pan, Monga, Bengio, Jozefowicz 2016, arXiv:1604.00981; deviations: none.
    """

    backups: int = 1

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=None, backups=self.backups, max_staleness=0, hold=True)
