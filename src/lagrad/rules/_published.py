"""Published methods by their names: settings of the rules of this room.

Each returns a rule; `workers` is their number N, which stands in the method's own formulas.
"""

from lagrad.schedules import Schedule
from lagrad.weights import Geometric, Inverse, Polynomial

from ._clipped import Clipped
from ._delay_compensated import DelayCompensated
from ._dynamic_momentum import DynamicMomentum
from ._momentum import Momentum
from ._roll_forward import RollForward
from ._sgd import SGD
from ._torch_optimizer import TorchOptimizer
from ._weight_prediction import WeightPrediction
from ._worker_momenta import WorkerMomenta


def staleness_aware(*, lr: float | Schedule = 0.1) -> SGD:
    """SGD with steps eta / max(1, tau); with policy `KBatchAsync(c)` it is n-softsync.

    Source: Zhang, Gupta, Lian, Liu 2015, arXiv:1511.05950.

    >>> staleness_aware().weight_of(4, version=9)
    0.25
    """
    return SGD(lr=lr, weight=Inverse(offset=0))


def delay_adaptive(workers: int, *, lr: float | Schedule = 0.1) -> SGD:
    """SGD with steps eta min(1, N/(tau + 1)).

    Source: Mishchenko, Bach, Even, Woodworth 2022, arXiv:2206.07638, as in the authors' code.

    >>> delay_adaptive(4).weight_of(7, version=9)
    0.5
    """
    return SGD(lr=lr, weight=Inverse(scale=workers))


def capped_delay(workers: int, *, lr: float = 0.1, smoothness: float = 1.0) -> SGD:
    """SGD with steps eta, and min(eta, 1/(4 L tau)) for gradients later than the concurrency N.

    smoothness: L > 0. Source: Koloskova, Stich, Jaggi 2022, arXiv:2206.08307.

    >>> capped_delay(4, lr=0.1).weight_of(10, version=19)
    0.25
    """
    return SGD(lr=lr, weight=_capped(lr, smoothness, full=workers))


def _capped(lr: float, smoothness: float, *, full: int) -> Inverse:
    if not (lr > 0 and smoothness > 0):
        raise ValueError(
            f"Expected lr and smoothness > 0, got {lr} and {smoothness}; "
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
        weight=_capped(lr, smoothness, full=2 * workers),
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

    momentum: beta per step. Source: ours; `default_rule` is this, clipped.

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


def fed_buff(*, lr: float | Schedule = 1.0, momentum: float = 0.0) -> Momentum:
    """Pseudo-gradients weighed by (1 + tau)^(-1/2), with the server's momentum.

    For policy `KBatchAsync(10)` (the paper's buffer). Source: Nguyen et al. 2022,
    arXiv:2106.06639; partly from memory.

    >>> fed_buff().weight_of(3, version=9)
    0.5
    """
    return Momentum(lr=lr, momentum=momentum, weight=Polynomial(0.5))


def fadas(
    workers: int, *, lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.99)
) -> TorchOptimizer:
    """AMSGrad at the server, with steps of min(eta, 1/tau) once something is later than N.

    For policy `KBatchAsync`. Source: Wang et al. 2024, arXiv:2407.18365, second hand; the betas and
    PyTorch's correction of the bias are not from there.

    >>> fadas(4, lr=0.5).weight_of(8, version=9)
    0.25
    """
    if not lr > 0:
        raise ValueError(f"Expected lr > 0, got {lr}; the cap on a step is 1/tau.")
    return TorchOptimizer(
        "adam",
        lr=lr,
        weight=Inverse(scale=1 / lr, offset=0, full=workers),
        options=(("amsgrad", True), ("betas", betas)),
    )


def adam(
    *, lr: float | Schedule = 0.001, betas: tuple[float, float] = (0.9, 0.999)
) -> TorchOptimizer:
    """Adam at the server; torch.optim.Adam where nothing is late.

    >>> adam().optimizer
    'adam'
    """
    return TorchOptimizer("adam", lr=lr, options=(("betas", betas),))


def adamw(
    *,
    lr: float | Schedule = 0.001,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.01,
) -> TorchOptimizer:
    """AdamW at the server; torch.optim.AdamW where nothing is late.

    >>> adamw().optimizer
    'adamw'
    """
    options = (("betas", betas), ("weight_decay", weight_decay))
    return TorchOptimizer("adamw", lr=lr, options=options)


def nadam(
    *,
    lr: float | Schedule = 0.001,
    betas: tuple[float, float] = (0.99, 0.999),
    weight_decay: float = 0.0,
) -> TorchOptimizer:
    """NAdam at the server with a long momentum, whose look-ahead makes up for a delay.

    Source: Ajanthan et al. 2025, arXiv:2505.01099, whose pipelines use NAdam with beta_1 = 0.99
    and decoupled weight decay; rule second hand.

    >>> nadam().options[0]
    ('betas', (0.99, 0.999))
    """
    options = (
        ("betas", betas),
        ("weight_decay", weight_decay),
        ("decoupled_weight_decay", True),
    )
    return TorchOptimizer("nadam", lr=lr, options=options)
