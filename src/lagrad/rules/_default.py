"""The rule of a run that names none."""

from lagrad.schedules import Schedule

from ._clipped import Clipped
from ._paced_momentum import PacedMomentum


def default_rule(workers: int, *, lr: float | Schedule = 0.1, momentum: float = 0.8) -> Clipped:
    """Roll-forward that scales itself to the staleness it meets, with clipping.

    workers: N >= 1. lr, momentum: of synchronous training with heavy ball on the joint batch of
    all workers, whatever the policy; see `PacedMomentum`.
    Source: ours; docs/choosing.md says what it was chosen by.

    >>> default_rule(4).rule
    PacedMomentum(lr=0.1, momentum=0.8, workers=4, weight_decay=0.0, reach=1.0)
    """
    return Clipped(PacedMomentum(lr=lr, momentum=momentum, workers=workers))
