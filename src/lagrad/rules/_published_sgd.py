"""Published methods without momentum: SGD with damped, clipped or corrected gradients.

Settings of the rules of this room; `workers` is the N of the method's own formulas.
"""

from lagrad.schedules import Schedule
from lagrad.weights import Inverse

from ._base import require_workers
from ._clipped import Clipped
from ._delay_compensated import DelayCompensated
from ._sgd import SGD


def staleness_aware(*, lr: float | Schedule = 0.1) -> SGD:
    """SGD with steps eta / max(1, tau); with policy `KBatchAsync(c)` it is n-softsync.

    Source: Zhang, Gupta, Lian, Liu 2015, arXiv:1511.05950.

    >>> staleness_aware().weight_of(4, version=9, state=None)
    0.25
    """
    return SGD(lr=lr, weight=Inverse(offset=0))


def delay_adaptive(workers: int, *, lr: float | Schedule = 0.1) -> SGD:
    """SGD with steps eta min(1, N/(tau + 1)).

    Source: Mishchenko, Bach, Even, Woodworth 2022, arXiv:2206.07638, as in the authors' code.

    >>> delay_adaptive(4).weight_of(7, version=9, state=None)
    0.5
    """
    return SGD(lr=lr, weight=Inverse(scale=workers))


def capped_delay(workers: int, *, lr: float = 0.1, smoothness: float = 1.0) -> SGD:
    """SGD with steps eta, and min(eta, 1/(4 L tau)) for gradients later than the concurrency N.

    smoothness: L > 0. Source: Koloskova, Stich, Jaggi 2022, arXiv:2206.08307.

    >>> capped_delay(4, lr=0.1).weight_of(10, version=19, state=None)
    0.25
    """
    require_workers(workers)
    return SGD(lr=lr, weight=capped(lr, smoothness, full=workers))


def capped(lr: float, smoothness: float, *, full: int) -> Inverse:
    """w(tau) = min(1, 1/(4 L eta tau)) beyond tau = `full`; lr: eta > 0, smoothness: L > 0."""
    if not (isinstance(lr, int | float) and lr > 0 and smoothness > 0):
        raise ValueError(
            f"Expected a constant lr > 0 and smoothness > 0, got {lr} and {smoothness}; "
            "the cap is 1/(4 smoothness tau)."
        )
    return Inverse(scale=1 / (4 * smoothness * lr), offset=0, full=full)


def clipped_asgd(*, lr: float | Schedule = 0.1, longest: float = 1.0) -> Clipped:
    """SGD with gradients clipped to a constant length.

    Source: Erickson, Johansson 2026, arXiv:2606.13287, second hand.

    >>> clipped_asgd(longest=2.0).longest
    2.0
    """
    return Clipped(SGD(lr=lr), longest=longest)


def dc_asgd(*, lr: float | Schedule = 0.1, strength: float = 0.04) -> DelayCompensated:
    """Delay-compensated SGD with a constant strength, DC-ASGD-c.

    Source: Zheng et al. 2017, arXiv:1609.08326.

    >>> dc_asgd().strength
    0.04
    """
    return DelayCompensated(SGD(lr=lr), strength=strength)


def dc_asgd_adaptive(
    *, lr: float | Schedule = 0.1, strength: float = 2.0, decay: float = 0.95
) -> DelayCompensated:
    """Delay-compensated SGD with a strength adapted to each coordinate, DC-ASGD-a.

    Source: Zheng et al. 2017, arXiv:1609.08326.

    >>> dc_asgd_adaptive().decay
    0.95
    """
    return DelayCompensated(SGD(lr=lr), strength=strength, decay=decay)
