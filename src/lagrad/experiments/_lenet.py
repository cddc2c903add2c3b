"""LeNet on MNIST as the experiments train it: in virtual time, watched on fixed samples."""

import math
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lagrad.runtimes import Result
from lagrad.tasks import Task, lenet_mnist, mnist


def watched_lenet(*, batch_size: int, watched: int) -> Task:
    """LeNet, scored on `watched` training and as many test images, the same for everyone.

    Scores: train_loss, train_accuracy, loss, accuracy. A full evaluation would cost as much as
    fifteen gradients.
    """
    like = lenet_mnist(batch_size=batch_size)
    return Task(
        name="watched-lenet",
        model=like.model,
        loss=like.loss,
        data=like.data,
        batch_size=batch_size,
        evaluate=partial(_scores, watched=watched),
    )


def _scores(model: nn.Module, *, watched: int) -> dict[str, float]:
    scores = {}
    for prefix, train in (("train_", True), ("", False)):
        images, labels = _sample(train, watched)
        logits = model(images)
        scores[f"{prefix}loss"] = functional.cross_entropy(logits, labels).item()
        scores[f"{prefix}accuracy"] = (logits.argmax(dim=1) == labels).float().mean().item()
    return scores


@cache
def _sample(train: bool, count: int) -> tuple[Tensor, Tensor]:
    images, labels = mnist(train)
    chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:count]
    return images[chosen], labels[chosen]


def curve(result: Result) -> list[dict[str, Any]]:
    """A run's evaluations as rows, and how it stopped; one row without scores if there is none."""
    stopped = result.stopped.value
    rows = [
        {"update": each.version, "time": each.seconds, **each.scores, "stopped": stopped}
        for each in result.evaluations
    ]
    return rows or [{"update": result.updates, "time": result.seconds, "stopped": stopped}]


def crossing(points: list[tuple[float, float]], target: float) -> float:
    """Where a score first reached the target, between two evaluations linearly; inf if nowhere.

    points: (time, score) in order of time.

    >>> crossing([(0.0, 0.25), (10.0, 0.5), (20.0, 1.0)], 0.75)
    15.0
    """
    before: tuple[float, float] | None = None
    for time, score in points:
        if score >= target:
            if before is None:
                return time
            share = (target - before[1]) / (score - before[1])
            return before[0] + share * (time - before[0])
        if math.isfinite(score):
            before = time, score
    return math.inf
