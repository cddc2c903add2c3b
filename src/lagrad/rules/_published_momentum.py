"""Published methods with momentum, by arrival, by worker or by date.

Settings of the rules of this room; `workers` is the N of the method's own formulas.
"""

from lagrad.schedules import Schedule
from lagrad.weights import Geometric, Inverse

from ._delay_compensated import DelayCompensated
from ._dynamic_momentum import DynamicMomentum
from ._momentum import Momentum
from ._published_sgd import capped
from ._roll_forward import RollForward
from ._weight_prediction import WeightPrediction
from ._worker_momenta import WorkerMomenta


def nag_asgd(*, lr: float | Schedule = 0.1, momentum: float = 0.9) -> Momentum:
    """Nesterov momentum by arrival, as if nothing were late.

    >>> nag_asgd().nesterov
    True
    """
    return Momentum(lr=lr, momentum=momentum, nesterov=True)


def multi_asgd(*, lr: float | Schedule = 0.1, momentum: float = 0.9) -> WorkerMomenta:
    """A momentum per worker.

    Source: Hakimi, Barkai, Gabel, Schuster 2019, arXiv:1907.11612.

    >>> multi_asgd().form
    'multi-asgd'
    """
    return WorkerMomenta(lr=lr, momentum=momentum, form="multi-asgd")


def dana_zero(*, lr: float | Schedule = 0.1, momentum: float = 0.9) -> WorkerMomenta:
    """A momentum per worker, and workers sent where all of them lead.

    Source: Hakimi, Barkai, Gabel, Schuster 2019, arXiv:1907.11612.

    >>> dana_zero().form
    'dana-zero'
    """
    return WorkerMomenta(lr=lr, momentum=momentum, form="dana-zero")


def dana_slim(*, lr: float | Schedule = 0.1, momentum: float = 0.9) -> WorkerMomenta:
    """DANA-Zero without its look-ahead vector: the parameters are what it would send.

    Source: Hakimi, Barkai, Gabel, Schuster 2019, arXiv:1907.11612.

    >>> dana_slim().form
    'dana-slim'
    """
    return WorkerMomenta(lr=lr, momentum=momentum, form="dana-slim")


def dana_dc(
    *,
    lr: float | Schedule = 0.1,
    momentum: float = 0.9,
    strength: float = 2.0,
    decay: float = 0.95,
) -> DelayCompensated:
    """DANA-Zero with delay-compensated gradients.

    Source: Hakimi, Barkai, Gabel, Schuster 2019, arXiv:1907.11612; from memory.

    >>> dana_dc().rule.form
    'dana-zero'
    """
    inner = dana_zero(lr=lr, momentum=momentum)
    return DelayCompensated(inner, strength=strength, decay=decay)


def ormo(workers: int, *, lr: float | Schedule = 0.1, momentum: float = 0.9) -> DynamicMomentum:
    """Ordered momentum: every gradient in the slot it would have had in synchronous training.

    momentum: beta per N steps. Source: Shi, Yang, Li 2024, arXiv:2407.19234; from memory, closed
    form verified. Deviation: the learning rate of a schedule multiplies the whole momentum.

    >>> ormo(4).bucket
    4
    """
    return DynamicMomentum(lr=lr, kernel=Geometric(momentum), catch_up=1.0, bucket=workers)


def ormo_da(
    workers: int, *, lr: float = 0.1, momentum: float = 0.9, smoothness: float = 1.0
) -> DynamicMomentum:
    """Ordered momentum; gradients later than 2N steps by min(eta, 1/(4 L tau)).

    momentum: beta per N steps. smoothness: L > 0. Source: as `ormo`, from memory.

    >>> ormo_da(4).weight(8)
    1.0
    """
    return DynamicMomentum(
        lr=lr,
        kernel=Geometric(momentum),
        weight=capped(lr, smoothness, full=2 * workers),
        catch_up=1.0,
        bucket=workers,
    )


def spike_compensation(*, lr: float | Schedule = 0.1, momentum: float = 0.9) -> DynamicMomentum:
    """Momentum by date that delivers on arrival what a gradient would have contributed in time.

    Source: Kosson et al. 2021, arXiv:2003.11666, SC_D; from memory, dynamics verified. Deviation:
    with each gradient's own staleness for the known delay D.

    >>> spike_compensation().catch_up
    1.0
    """
    return DynamicMomentum(lr=lr, kernel=Geometric(momentum), catch_up=1.0)


def lwp(
    *, lr: float | Schedule = 0.1, momentum: float = 0.9, steps: float | None = None
) -> WeightPrediction:
    """Heavy ball whose workers are sent a linear extrapolation of the weights.

    steps: how far; None: the expected staleness. Source: Kosson et al. 2021, arXiv:2003.11666.

    >>> lwp().looks_ahead
    True
    """
    return WeightPrediction(Momentum(lr=lr, momentum=momentum), steps=steps)


def lwp_sc(
    *, lr: float | Schedule = 0.1, momentum: float = 0.9, steps: float | None = None
) -> WeightPrediction:
    """Spike compensation with linear weight prediction.

    steps: how far; None: the expected staleness. Source: Kosson et al. 2021, arXiv:2003.11666.

    >>> lwp_sc().rule.catch_up
    1.0
    """
    return WeightPrediction(spike_compensation(lr=lr, momentum=momentum), steps=steps)


def roll_forward(
    workers: int, *, lr: float | Schedule = 0.1, momentum: float = 0.9
) -> DynamicMomentum:
    """Damped momentum by date, whose workers are sent where the gradients in flight lead.

    momentum: beta per step. Source: ours; `PacedMomentum` is this with constants that follow the
    observed staleness.

    >>> roll_forward(4).lookahead
    RollForward(reach=1.0, fill=1.0)
    """
    return _rolled(workers, lr, momentum, RollForward())


def rfx2(workers: int, *, lr: float | Schedule = 0.1, momentum: float = 0.9) -> DynamicMomentum:
    """Roll-forward with twice the reach, for noise without averaged weights.

    momentum: beta per step. Source: ours.

    >>> rfx2(4).lookahead
    RollForward(reach=2.0, fill=1.0)
    """
    return _rolled(workers, lr, momentum, RollForward(reach=2.0))


def _rolled(
    workers: int, lr: float | Schedule, momentum: float, lookahead: RollForward
) -> DynamicMomentum:
    return DynamicMomentum(
        lr=lr, kernel=Geometric(momentum), weight=Inverse(scale=workers), lookahead=lookahead
    )
