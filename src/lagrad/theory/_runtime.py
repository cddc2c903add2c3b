"""Expected time per step of K-sync, K-batch-sync, K-async and K-batch-async."""

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, special

from ._counts import require_at_most, require_counts

#: Where a numerical integral is given up.
_MOST_POINTS = 2**20


class Times(Protocol):
    """What is asked of a frozen continuous distribution of scipy.stats, the time of one job."""

    dist: Any
    args: Any
    kwds: Any

    def sf(self, x: Any, /) -> Any:
        """P(X > x)."""
        ...

    def ppf(self, q: Any, /) -> Any:
        """Quantiles."""
        ...

    def mean(self) -> Any:
        """E[X]."""
        ...

    def support(self) -> Any:
        """The least and the largest time."""
        ...


def k_sync_time(times: Times, *, workers: int, quorum: int) -> float:
    """Expected time per step of K-sync: the K-th of P workers that begin together. Exact.

        E[X_{K:P}] = integral of P(X_{K:P} > t) dt
        s + m (H_P - H_{P-K})                            for X = s + Exp(mean m)
        x Gamma(P+1) Gamma(P-K+1-1/a) / (Gamma(P-K+1) Gamma(P+1-1/a))      for Pareto(a, x)

    times: frozen distribution of X, the time of one job, >= 0. workers: P. quorum: K; K = P is
    fully synchronous. The closed forms are used where they apply, quadrature (relative error
    below 1e-6) elsewhere. Infinite where the tail is too heavy, as for Pareto with a (P-K+1) <= 1.
    The workers that are not among the first K are cancelled at the step.
    Raises: ValueError for times that may be negative, or K not in 1..P.
    Source: Dutta, Joshi, Ghosh, Dube, Nagpurkar 2018, arXiv:1803.01113.

    >>> from scipy.stats import expon
    >>> [round(k_sync_time(expon(), workers=8, quorum=k), 4) for k in (4, 8)]
    [0.6345, 2.7179]
    """
    _require(times)
    require_at_most(workers, quorum)
    place, scale, shapes = _parameters(times)
    late = workers - quorum + 1
    if times.dist.name == "expon":
        return place + scale * math.fsum(1 / j for j in range(late, workers + 1))
    if times.dist.name == "pareto":
        part = 1 / shapes[0]
        if late <= part:
            return math.inf
        gamma = special.gammaln
        ratio = gamma(workers + 1) + gamma(late - part) - gamma(late) - gamma(workers + 1 - part)
        return place + scale * math.exp(ratio)
    if not math.isfinite(times.mean()):
        raise ValueError(
            f"Expected times of finite mean where there is no closed form, got {times.dist.name} "
            f"with {times.args} {times.kwds}; simulate."
        )

    def survival(time: float) -> float:
        # Fewer than K of P are done: of the uniform P(X <= t), a beta distribution's tail.
        return float(special.betainc(late, quorum, times.sf(time)))

    least, most = times.support()
    middle = float(times.ppf(0.5))
    total, _ = integrate.quad(survival, least, middle, epsrel=1e-8, limit=200)
    rest, _ = integrate.quad(survival, middle, most, epsrel=1e-8, limit=200)
    return float(least) + total + rest


def k_async_bound(times: Times, *, workers: int, quorum: int) -> float:
    """Upper bound on the expected time per step of K-async, E[X_{K:P}].

    It holds for times that are new longer than used (`is_new_longer_than_used`), since what
    remains of a running job is then no longer than a new one. It is the exact time for exponential
    times and for K = P. For K = 1 the exact time is E[X]/P, see `k_batch_async_time`.
    Arguments as of `k_sync_time`.
    Raises: ValueError for times without that property, or arguments out of range.
    Source: Dutta et al. 2018, arXiv:1803.01113.

    >>> from scipy.stats import expon
    >>> round(k_async_bound(expon(loc=1.0), workers=8, quorum=4), 2)
    1.63
    """
    _require(times)
    require_at_most(workers, quorum)
    if not is_new_longer_than_used(times):
        raise ValueError(
            f"Expected times that are new longer than used, got {times.dist.name} with "
            f"{times.args} {times.kwds}, for which no bound is known; simulate."
        )
    return k_sync_time(times, workers=workers, quorum=quorum)


def k_batch_async_time(times: Times, *, workers: int, quorum: int) -> float:
    """Expected time per step of K-batch-async in the long run, K E[X] / P. Exact for all times.

    Nobody ever waits, so every worker delivers once in E[X]. K = 1 is fully asynchronous.
    Arguments as of `k_sync_time`, but K may exceed P.
    Raises: ValueError for arguments out of range.
    Source: Dutta et al. 2018, arXiv:1803.01113, by the elementary renewal theorem.

    >>> from scipy.stats import pareto
    >>> k_batch_async_time(pareto(2.0), workers=8, quorum=4)
    1.0
    """
    _require(times)
    require_counts(workers, quorum)
    return quorum * float(times.mean()) / workers


def k_batch_sync_time(times: Times, *, workers: int, quorum: int) -> float:
    """Expected time per step of K-batch-sync: K gradients from P workers that begin together.

        E = integral of P(N_1(t) + ... + N_P(t) < K) dt,    N_i(t): jobs done by worker i until t
        K m / P    for X = Exp(mean m)

    Exponential: this closed form. Others: numerical. X is rounded to the nearest multiple of
    h = median / 2048, the distributions of the sums X_1 + ... + X_n, n <= K, follow by
    convolution, those of N_i by P(N_i >= n) = P(X_1 + ... + X_n <= t), that of their sum by P
    convolutions in n for each t, and the integral is a sum, exact for the rounded X: what is left
    is an error of order h^2. It ends at a t with t P(...) below 1e-7 of it.
    Workers are cancelled at the step. Arguments as of `k_sync_time`, but K may exceed P.
    Raises: ValueError for arguments out of range, or a tail too heavy to be followed.
    Source: Dutta et al. 2018, arXiv:1803.01113, for the exponential; the others are ours.

    >>> from scipy.stats import expon
    >>> k_batch_sync_time(expon(), workers=8, quorum=4)
    0.5
    >>> round(k_batch_sync_time(expon(loc=1.0), workers=8, quorum=4), 3)
    1.631
    """
    _require(times)
    require_counts(workers, quorum)
    place, scale, _ = _parameters(times)
    if times.dist.name == "expon" and place == 0:
        return quorum * scale / workers
    h = float(times.ppf(0.5)) / 2048
    points = 4 * 2048 * math.ceil(quorum / workers)
    while points < _MOST_POINTS:
        survival = _batch_survival(times, workers, quorum, h, points)
        # A tail that falls as 1/t^2 or faster holds at most t P(...).
        if survival[-1] * points < 1e-7 * survival.sum():
            return float(survival.sum()) * h
        points *= 2
    raise ValueError(
        f"Expected times with a lighter tail, got {times.dist.name} with {times.args} "
        f"{times.kwds}, whose steps can take thousands of median jobs; simulate."
    )


def _batch_survival(
    times: Times, workers: int, quorum: int, h: float, points: int
) -> NDArray[np.float64]:
    """P(fewer than `quorum` jobs are done at t), t = 0, h, 2h, ..., for X rounded to h."""
    edges = (np.arange(points + 1) - 0.5) * h
    mass = -np.diff(np.asarray(times.sf(edges), np.float64))
    size = 2 * points
    spectrum = np.fft.rfft(mass, size)
    sums = [np.ones(points)]  # P(X_1 + ... + X_n <= t)
    density = mass
    for _ in range(quorum):
        sums.append(np.minimum(1.0, np.cumsum(density)))
        density = np.fft.irfft(np.fft.rfft(density, size) * spectrum, size)[:points].clip(0.0)
    one = [sums[n] - sums[n + 1] for n in range(quorum)]  # P(N_i = n), n < K
    total = one
    for _ in range(workers - 1):
        total = [
            np.sum([total[j] * one[n - j] for j in range(n + 1)], axis=0) for n in range(quorum)
        ]
    fewer: NDArray[np.float64] = np.clip(np.sum(total, axis=0), 0.0, 1.0)
    return fewer


def is_new_longer_than_used(times: Times) -> bool:
    """Whether a new job outlasts a running one: P(X > a + u) <= P(X > a) P(X > u) for a, u >= 0.

    times: frozen distribution. Examined on a grid of 200 x 200 quantiles, so that a violation on
    a small interval can escape. Exponential times attain equality; a shift keeps the property;
    Pareto times have it neither way round.
    Raises: ValueError for times that may be negative.
    Source: Dutta et al. 2018, arXiv:1803.01113, definition of new-longer-than-used.

    >>> from scipy.stats import expon, pareto
    >>> is_new_longer_than_used(expon(loc=1.0)), is_new_longer_than_used(pareto(2.0))
    (True, False)
    """
    _require(times)
    grid = np.concatenate(([0.0], np.asarray(times.ppf((np.arange(200) + 0.5) / 200))))
    alone = np.asarray(times.sf(grid))
    together = np.asarray(times.sf(grid[:, None] + grid))
    return bool((together <= np.outer(alone, alone) + 1e-12).all())


def _parameters(times: Times) -> tuple[float, float, list[float]]:
    """(loc, scale, shapes) of a frozen distribution."""
    names = [name.strip() for name in (times.dist.shapes or "").split(",") if name]
    given = dict(zip([*names, "loc", "scale"], times.args, strict=False)) | dict(times.kwds)
    place, scale = float(given.get("loc", 0.0)), float(given.get("scale", 1.0))
    return place, scale, [float(given[name]) for name in names]


def _require(times: Times) -> None:
    if not hasattr(times, "dist") or not hasattr(times, "sf"):
        raise ValueError(
            f"Expected a frozen distribution of scipy.stats, got {times!r}; for example expon()."
        )
    least = times.support()[0]
    if not least >= 0:
        raise ValueError(
            f"Expected times >= 0, got {times.dist.name}, which begins at {least}; shift it by loc."
        )
