"""How the model's buffers (BatchNorm statistics) follow the steps."""

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor


class BufferPolicy(StrEnum):
    """What the server's buffers become at a step.

    mean: the mean of the step's pushes, weighted by samples; counters are rounded.
    latest: those of the step's push on the newest lease.
    recalibrate: unchanged while training; recomputed from data before each evaluation.
    """

    MEAN = "mean"
    LATEST = "latest"
    RECALIBRATE = "recalibrate"


def combine(
    policy: BufferPolicy, pushed: Sequence[tuple[int, Tensor]], counters: Tensor
) -> Tensor | None:
    """The new buffers from the (samples, buffers) of one step in sorted order; None: unchanged.

    counters: bool [B], true where the model's buffer is an integer.

    >>> one, two = torch.tensor([1.0, 3.0]), torch.tensor([4.0, 4.0])
    >>> combine(BufferPolicy.MEAN, [(1, one), (2, two)], torch.tensor([False, True]))
    tensor([3., 4.])
    """
    if policy is BufferPolicy.RECALIBRATE or not pushed:
        return None
    if policy is BufferPolicy.LATEST:
        return pushed[-1][1].clone()
    total = sum(samples for samples, _ in pushed)
    mean = torch.zeros_like(pushed[0][1])
    for samples, buffers in pushed:
        mean.add_(buffers, alpha=samples / total)
    return torch.where(counters, mean.round(), mean)
