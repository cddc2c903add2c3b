"""The rule of a run that names none."""

from lagrad.schedules import Schedule

from ._base import require_workers
from ._clipped import Clipped
from ._published_momentum import roll_forward


def default_rule(
    workers: int, *, lr: float | Schedule = 0.02, momentum: float | None = None
) -> Clipped:
    """Damped dated momentum with roll-forward and clipping, for asynchronous workers.

    workers: N >= 1; gradients later than usual, tau >= N, weigh N/(tau + 1).
    lr: eta. momentum: beta per update; None: 0.8^(1/N), which is 0.8 per N gradients where each
    gradient is a step; policies with larger steps forget more slowly, counted in gradients.
    Source: the constants of `RollForward`'s study; a lead with evidence, not an optimum.

    >>> rule = default_rule(4)
    >>> round(rule.rule.kernel(4), 12), round(rule.weight_of(7, version=9), 4)
    (0.8, 0.3384)
    """
    require_workers(workers)
    if momentum is None:
        momentum = 0.8 ** (1.0 / workers)
    return Clipped(roll_forward(workers, lr=lr, momentum=momentum))
