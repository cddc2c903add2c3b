"""Step on the first `quorum` fresh gradients, and take the late ones along."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class KFresh(Named):
    """Step on the first `quorum` fresh gradients, and take the late ones along.

    Fresh: computed at the newest version, tau = 0. As KSync, so that stragglers hold nobody up and
    the steps are as steady as synchronous ones; but where KSync drops what comes after its step,
    here it is part of the next one, to be weighed by its date. Where a fresh gradient is still
    missing and everyone has pushed, the step is taken with what is there.
    quorum: int >= 1; choose the number of workers that keep pace.
    Source: steps on a majority to which late gradients are added are those of eager-SGD (Li,
    Ben-Nun, Di Girolamo, Alistarh, Hoefler 2020, arXiv:1908.04207); deviations: a server, and no
    two gradients of one worker are added up.
    """

    quorum: int = 2

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=self.quorum, fresh=True, hold=True)
