"""Staleness of K-async and K-batch-async, and the error that it leaves."""

import math

from ._counts import require_at_most, require_counts


def k_async_staleness(*, workers: int, quorum: int) -> float:
    """Mean staleness of K-async: (P - K) / K, for any distribution of the times.

    workers: P. quorum: K in 1..P. For exponential times P(tau = l) = (K/P) (1 - K/P)^l.
    Raises: ValueError for numbers out of range.
    Source: ours; the proof is in docs/theory.md.

    >>> k_async_staleness(workers=8, quorum=4)
    1.0
    """
    require_at_most(workers, quorum)
    return (workers - quorum) / quorum


def k_batch_async_staleness(*, workers: int, quorum: int) -> float:
    """Mean staleness of K-batch-async: (P - 1) / K, for any distribution of the times.

    workers: P. quorum: K >= 1; K = 1 is fully asynchronous.
    Raises: ValueError for numbers out of range.
    Source: ours; the proof is in docs/theory.md.

    >>> k_batch_async_staleness(workers=8, quorum=4)
    1.75
    """
    require_counts(workers, quorum)
    return (workers - 1) / quorum


def k_async_fresh(*, workers: int, quorum: int) -> float:
    """P(tau = 0) of K-async with exponential times: K/P.

    The paper's p_0 is a lower bound on such probabilities, 1/P for exponential times; both agree
    for K = 1. Arguments and errors as of `k_async_staleness`.
    Source: ours; the proof is in docs/theory.md.

    >>> k_async_fresh(workers=8, quorum=4)
    0.5
    """
    require_at_most(workers, quorum)
    return quorum / workers


def k_batch_async_fresh(*, workers: int, quorum: int) -> float:
    """P(tau = 0) of K-batch-async with exponential times.

        1 - (q + q^2 + ... + q^K) / K,    q = 1 - 1/P

    Arguments and errors as of `k_batch_async_staleness`; 1/P for K = 1.
    Source: ours; the proof is in docs/theory.md.

    >>> round(k_batch_async_fresh(workers=8, quorum=4), 4)
    0.2758
    """
    require_counts(workers, quorum)
    stays = 1 - 1 / workers
    return 1 - math.fsum(stays**j for j in range(1, quorum + 1)) / quorum


def error_bound(
    step: int,
    *,
    lr: float,
    smoothness: float,
    strong_convexity: float,
    noise: float,
    gradients: int,
    gap: float,
    gamma: float = 0.0,
    fresh: float = 0.0,
) -> float:
    """Bound on E F(w_J) - F* of K-async and K-batch-async, and of their synchronous kin.

        floor + (1 - eta c g)^J (F(w_0) - F* - floor)
        floor = eta L sigma^2 / (2 c g K m),    g = 1 - gamma + p_0 / 2

    step: J >= 0. lr: eta in (0, 1/(2 L)]. smoothness, strong_convexity: L >= c > 0 of F. noise:
    sigma^2 >= 0, variance of the gradient of one sample. gradients: K m >= 1, samples in a step.
    gap: F(w_0) - F*. gamma: in [0, 1], E‖grad F(w_j) - grad F(w_tau)‖^2 <= gamma
    E‖grad F(w_j)‖^2. fresh: p_0, a lower bound on P(tau = 0 | past). gamma = p_0 = 0, that is
    g = 1, is the paper's bound for K-sync and K-batch-sync.
    Raises: ValueError for numbers out of range, or gamma 1 without fresh gradients.
    Source: Dutta et al. 2018, arXiv:1803.01113, strongly convex case, quoted second hand, proved
    anew in docs/theory.md. Deviation: the learning rate is at most 1/(2 L), as the proof needs,
    and the variance does not grow with the gradient (M_G = 0).

    >>> options = dict(lr=0.1, smoothness=1.0, strong_convexity=0.5, noise=1.0, gap=1.0)
    >>> [round(error_bound(J, gradients=4, **options), 4) for J in (0, 10, 1000)]
    [1.0, 0.6088, 0.025]
    """
    _require_convex(lr, smoothness, strong_convexity, noise, gap)
    if step < 0 or gradients < 1:
        raise ValueError(
            f"Expected step >= 0 and gradients >= 1, got {step} and {gradients}; "
            "gradients counts the samples in a step."
        )
    if not 0 <= gamma <= 1 or not 0 <= fresh <= 1 or gamma - fresh / 2 >= 1:
        raise ValueError(
            "Expected gamma and fresh in [0, 1], and not gamma 1 without fresh gradients, "
            f"got {gamma} and {fresh}; leave them out where nothing is late."
        )
    factor = 1 - gamma + fresh / 2
    floor = lr * smoothness * noise / (2 * strong_convexity * factor * gradients)
    return floor + (1 - lr * strong_convexity * factor) ** step * (gap - floor)


def _require_convex(
    lr: float, smoothness: float, strong_convexity: float, noise: float, gap: float
) -> None:
    if not 0 < strong_convexity <= smoothness < math.inf:
        raise ValueError(
            f"Expected 0 < strong_convexity <= smoothness, got {strong_convexity} and "
            f"{smoothness}; they are the least and the largest curvature."
        )
    if not 0 < lr <= 1 / (2 * smoothness):
        raise ValueError(
            f"Expected lr in (0, {1 / (2 * smoothness):.3g}], got {lr}; "
            "no bound is proved beyond 1/(2 smoothness)."
        )
    if not (0 <= noise < math.inf and 0 <= gap < math.inf):
        raise ValueError(
            f"Expected a finite noise and gap >= 0, got {noise} and {gap}; use 0 for none."
        )
