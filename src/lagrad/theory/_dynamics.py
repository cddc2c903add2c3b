"""From a rule's recursion to the matrix of one period, and to how fast it shrinks the error."""

import numpy as np

from ._recursions import Floats, Recursion, find_rule
from ._staleness import Given, Staleness, find_staleness

#: Matrices whose eigenvalues are taken at once: bounds the memory.
_AT_ONCE = 4096


def spectral_radius(
    rule: str,
    staleness: Given,
    x: Floats,
    momentum: Floats | float = 0.0,
    *,
    workers: int | None = None,
) -> Floats:
    """How much one update shrinks the error along one eigenvalue, in the long run.

        rho(x) = (largest |eigenvalue| of the matrix of one period)^(1/period),   x = eta lambda

    The matrix acts on the rule's state and the D points in flight; with exponential workers, on
    the state and the mean of the points in flight.
    rule: "sgd", "heavy-ball", "nesterov", "lwp", "spike-compensation", "lwp+sc", "multi-asgd",
    "dana", "smega2", "ormo", "roll-forward" or "dm0". staleness: D >= 0, constant, in updates;
    "round-robin": `workers` in turn, D = workers - 1; "exponential": `workers` with exponential
    times, the mean over their order. x, momentum: arrays that broadcast; momentum in (-1, 1).
    Raises: ValueError for an unknown rule, numbers out of range, or a rule that treats each
    gradient by its own staleness or worker with "exponential".

    >>> spectral_radius("sgd", 0, np.array([0.5, 1.0, 2.0])).tolist()
    [0.5, 0.0, 1.0]
    """
    require_momentum(rule, momentum)
    known = find_staleness(staleness, workers)
    require_fit(rule, known)
    x, momenta = np.broadcast_arrays(np.float64(x), np.float64(momentum))
    if not np.isfinite(x).all():
        raise ValueError(f"Expected finite x, got {x}; it is the learning rate times lambda.")
    unique, which = np.unique(momenta, return_inverse=True)
    result = np.empty(x.shape)
    for number, m in enumerate(unique):
        chosen = which.reshape(x.shape) == number
        recursion = find_rule(rule).build(np.array([m]), known.delay, known.workers)
        result[chosen] = growth(recursion, known, x[chosen][None])[0]
    return result


def growth(recursion: Recursion, staleness: Staleness, x: Floats) -> Floats:
    """Spectral radius per update for the recursion's momenta [B] and x [B, X]."""
    width = max(1, _AT_ONCE // len(x))
    parts = [
        np.abs(np.linalg.eigvals(period_matrix(recursion, staleness, x[:, at : at + width]))).max(
            axis=-1
        )
        for at in range(0, x.shape[1], width)
    ]
    return np.concatenate(parts, axis=1) ** (1 / len(recursion.update))


def period_matrix(recursion: Recursion, staleness: Staleness, x: Floats) -> Floats:
    """[B, X, n + D, n + D]: what one period does to (s, D points in flight, youngest first).

    With exponential workers [B, X, n + 1, n + 1]: on (s, mean of the points in flight).
    """
    phases = len(recursion.update)
    result: Floats | None = None
    for phase in range(phases):
        update = recursion.update[phase][:, None]
        arrival = recursion.arrival[phase][:, None] * x[..., None]
        sent_before = recursion.point[phase][:, None]
        sent_after = recursion.point[(phase + 1) % phases][:, None]
        if staleness.random:
            one = _mean_step(update, arrival, sent_after, 1 / staleness.workers)
        else:
            one = _delayed_step(update, arrival, sent_before, staleness.delay)
        result = one if result is None else one @ result
    assert result is not None
    return result


def _delayed_step(update: Floats, arrival: Floats, sent: Floats, delay: int) -> Floats:
    n = update.shape[-1]
    matrix = np.zeros((*arrival.shape[:2], n + delay, n + delay))
    matrix[..., :n, :n] = update
    if delay == 0:
        matrix[..., :n, :n] += arrival[..., :, None] * sent[..., None, :]
        return matrix
    matrix[..., :n, -1] = arrival
    matrix[..., n, :n] = sent
    for place in range(n + 1, n + delay):
        matrix[..., place, place - 1] = 1.0
    return matrix


def _mean_step(update: Floats, arrival: Floats, sent: Floats, share: float) -> Floats:
    n = update.shape[-1]
    matrix = np.zeros((*arrival.shape[:2], n + 1, n + 1))
    matrix[..., :n, :n] = update
    matrix[..., :n, n] = arrival
    matrix[..., n, :n] = share * (sent[..., None, :] @ update)[..., 0, :]
    matrix[..., n, n] = 1 - share + share * (sent * arrival).sum(axis=-1)
    return matrix


def require_momentum(rule: str, momentum: Floats | float) -> None:
    """ValueError unless the rule is known and every momentum is in (-1, 1)."""
    find_rule(rule)
    if not (np.abs(momentum) < 1).all():
        raise ValueError(f"Expected a momentum in (-1, 1), got {momentum}; use 0 for none.")


def require_fit(rule: str, staleness: Staleness) -> None:
    """ValueError for random staleness with a rule whose mean does not follow a recursion."""
    if staleness.random and find_rule(rule).dated:
        raise ValueError(
            f"With exponential workers {rule} treats each gradient by its own staleness or worker, "
            'so its mean follows no linear recursion of its own; use "round-robin", or a rule that '
            "treats all gradients alike."
        )
