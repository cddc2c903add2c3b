"""Published optimizers at the server: of PyTorch, and for pseudo-gradients of local training.

Settings of the rules of this room; `workers` is the N of the method's own formulas.
"""

from lagrad.schedules import Schedule
from lagrad.weights import Inverse, Polynomial

from ._base import require_workers
from ._momentum import Momentum
from ._torch_optimizer import TorchOptimizer


def fed_buff(*, lr: float | Schedule = 1.0, momentum: float = 0.0) -> Momentum:
    """Pseudo-gradients weighed by (1 + tau)^(-1/2), with the server's momentum.

    For policy `KBatchAsync(10)` (the paper's buffer). Source: Nguyen et al. 2022,
    arXiv:2106.06639; partly from memory.

    >>> fed_buff().weight_of(3, version=9, state=None)
    0.5
    """
    return Momentum(lr=lr, momentum=momentum, weight=Polynomial(0.5))


def fadas(
    workers: int, *, lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.99)
) -> TorchOptimizer:
    """AMSGrad at the server, with steps of min(eta, 1/tau) once something is later than N.

    For policy `KBatchAsync`. Source: Wang et al. 2024, arXiv:2407.18365, second hand; the betas and
    PyTorch's correction of the bias are not from there.

    >>> fadas(4, lr=0.5).weight_of(8, version=9, state=None)
    0.25
    """
    require_workers(workers)
    if not (isinstance(lr, int | float) and lr > 0):
        raise ValueError(f"Expected a constant lr > 0, got {lr}; the cap on a step is 1/tau.")
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
