"""How far the mean of the first K gradients is from the mean of all N, while training goes on."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from lagrad.core import Lease
from lagrad.delays import Stragglers
from lagrad.schedules import Constant, InverseTime, Schedule
from lagrad.tasks import Differentiator, Task, lenet_mnist, softmax_mnist

WORKERS = 8
#: Two of the eight workers are six times slower.
DELAYS = Stragglers()
#: Strong convexity of the softmax regression.
L2 = 0.1
_LENET_RATE = 0.05
#: Task and steps of each run. The first takes those of the theorem, 1/(lambda k).
RUNS: dict[str, tuple[Callable[[], Task], Schedule]] = {
    "softmax": (lambda: softmax_mnist(batch_size=64, l2=L2), InverseTime(L2)),
    "lenet": (lambda: lenet_mnist(batch_size=256), Constant(_LENET_RATE)),
}
#: Stretches of training to an octave; each is one row, so that early and late weigh alike.
_STRETCHES = 2
_ERRORS = ("eps", "foretold", "noise_to_signal")


@dataclass(frozen=True)
class _Job:
    """A minibatch at a worker: the point it read, that point's version, when it will be done."""

    lease: Lease
    point: Tensor
    version: int
    done_at: float


def quorum_error(count: int, quorum: int) -> float:
    """What the relative error of a quorum's mean gradient is per unit of noise.

        sqrt((N - K) / (K (N - 1)))

    Exactly the root mean square over all choices of K out of N = `count` gradients, in units of
    sqrt(1/N sum_i ‖g_i - mean‖^2) / ‖mean‖, their ratio of noise to signal.

    >>> quorum_error(8, 8), round(quorum_error(8, 1), 3)
    (0.0, 1.0)
    """
    return math.sqrt((count - quorum) / (quorum * (count - 1)))


def measure(
    *, run: str, gradients: str, driver: int, updates: int, every: int, seed: int
) -> list[dict[str, Any]]:
    """Rows of eps = ‖g_k - grad f_{S_k}‖ / ‖grad f_{S_k}‖ while K = `driver` gradients make a step.

    S_k is the union of the eight workers' minibatches, grad f_{S_k} their mean gradient at w_k.
    gradients: "fresh", all begin at w_k and g_k is the mean of the first K; every quorum is
    measured on the way. Or "stale": a step takes the K that have arrived, while the others go on
    from where they began; g_k is the mean of the K as they were computed.
    every: one step in so many is measured.
    """
    fresh = gradients == "fresh"
    task, rates = RUNS[run]
    differentiator = Differentiator(task(), seed=seed)
    streams = [DELAYS.stream(worker, seed) for worker in range(WORKERS)]
    w, now, jobs = differentiator.initial_params(), 0.0, dict[int, _Job]()
    arrived: Sequence[int] = range(WORKERS)
    begun = 0
    measured: dict[int, list[list[dict[str, Any]]]] = {}
    for version in range(updates):
        for worker in range(WORKERS) if fresh else sorted(arrived):
            lease = _lease(differentiator, begun)
            jobs[worker] = _Job(lease, w, version, now + next(streams[worker]))
            begun += 1
        order = sorted(jobs, key=lambda worker: jobs[worker].done_at)
        arrived, now = order[:driver], jobs[order[driver - 1]].done_at
        taken = {i: _gradient(differentiator, jobs[i].lease, jobs[i].point) for i in arrived}
        step = torch.stack(list(taken.values())).mean(0)
        if version % every == 0:
            here = torch.stack(
                [
                    taken[i]
                    if i in taken and jobs[i].version == version
                    else _gradient(differentiator, jobs[i].lease, w)
                    for i in order
                ]
            )
            # The first K of all eight, for every K, where all began at this point.
            sums = here.cumsum(0)
            means = {k: sums[k - 1] / k for k in range(1, WORKERS + 1)} if fresh else {driver: step}
            tau = fmean(version - jobs[i].version for i in arrived)
            stretch = int(_STRETCHES * math.log2(version + 1))
            measured.setdefault(stretch, []).append(_errors(version + 1, here, means, tau))
        w = w - rates(version) * step
    return [_mean(rows) for moments in measured.values() for rows in zip(*moments, strict=True)]


def _lease(differentiator: Differentiator, number: int) -> Lease:
    """Whole minibatches only, so that every gradient is a mean of as many samples."""
    assert differentiator.num_samples is not None
    size = differentiator.task.batch_size
    epoch, place = divmod(number, differentiator.num_samples // size)
    return Lease(number, epoch, place * size, (place + 1) * size)


def _gradient(differentiator: Differentiator, lease: Lease, point: Tensor) -> Tensor:
    out = torch.empty_like(point)
    differentiator(point, lease, buffers=differentiator.initial_buffers(), out=out)
    return out


def _errors(
    k: int, here: Tensor, means: dict[int, Tensor], tau: float
) -> list[dict[str, float | int]]:
    whole = here.mean(0)
    signal = whole.norm().item()
    noise = (here - whole).square().sum(1).mean().sqrt().item() / signal
    return [
        {
            "quorum": quorum,
            "k": k,
            "eps": (mean - whole).norm().item() / signal,
            "foretold": quorum_error(WORKERS, quorum) * noise,
            "noise_to_signal": noise,
            "tau": tau,
        }
        for quorum, mean in means.items()
    ]


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of one quorum and one stretch: root mean squares of the errors, geometric mean of k."""
    squares = {name: math.sqrt(fmean(row[name] ** 2 for row in rows)) for name in _ERRORS}
    return {
        **rows[0],
        **squares,
        "k": math.exp(fmean(math.log(row["k"]) for row in rows)),
        "tau": fmean(row["tau"] for row in rows),
    }
