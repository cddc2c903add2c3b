"""Implicit momentum of asynchrony in closed form, and its sum with explicit momentum."""

import math


def implicit_momentum(workers: int) -> float:
    """Of N workers that are never held, a gradient a step: 1 - 1/N.

    With exponential job times the mean over the order of arrival moves as heavy ball of this
    momentum, with the learning rate eta/N (Mitliagkas, Zhang, Hadjis, Re 2016, arXiv:1605.09774).
    With any other times it is heavy ball of the same mean age: N gradients are always in flight
    and one lands a step, so the mean staleness is N - 1 (Little's law).
    Raises: ValueError for less than 1 worker.

    >>> implicit_momentum(8)
    0.875
    """
    if workers < 1:
        raise ValueError(f"Expected at least 1 worker, got {workers}; give how many take part.")
    return 1 - 1 / workers


def total_momentum(momentum: float, staleness: float) -> float:
    """Of heavy ball with gradients late by `staleness` in the mean: that of the same mean age.

        1/(1 - total) = 1/(1 - beta) + mean tau

    beta/(1 - beta) steps is the mean age of the gradients in heavy ball's velocity, lateness adds
    tau, and total/(1 - total) is the sum. momentum: beta in (-1, 1). staleness: >= 0, in updates;
    N - 1 for N workers that are never held.
    Source: ours; with beta = 0, `implicit_momentum`. It says how late gradients act, not how fast
    a run converges, for which see `optimal_momentum`.
    Raises: ValueError for numbers out of range.

    >>> round(total_momentum(0.6, 7), 4), round(total_momentum(0.0, 7), 4)
    (0.8947, 0.875)
    """
    if not -1 < momentum < 1:
        raise ValueError(f"Expected a momentum in (-1, 1), got {momentum}; use 0 for none.")
    if not 0 <= staleness < math.inf:
        raise ValueError(
            f"Expected a mean staleness >= 0, got {staleness}; N workers in flight have N - 1."
        )
    return 1 - 1 / (staleness + 1 / (1 - momentum))
