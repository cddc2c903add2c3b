"""Softmax regression on the steps of the timing path: many seeds at once, no server."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from lagrad.runtimes import Timing

from ._softmax import CLASSES, minimise, samples

#: The first images of MNIST's training set, which F is the mean over; l2-strongly convex.
IMAGES, L2 = 5000, 0.01


def optimum() -> float:
    """F* = min F, F(w) = mean cross entropy + l2/2 ‖w‖^2."""
    inputs, labels = samples(IMAGES)
    return float(objective(minimise(inputs.double(), labels, L2)[None])[0])


def objective(weights: Tensor) -> Tensor:
    """F of every w: [n, 785, 10] -> [n]."""
    inputs, labels = samples(IMAGES)
    inputs = inputs.to(weights.dtype)
    losses = [cross_entropy(inputs @ w, labels) for w in weights]
    return torch.stack(losses) + 0.5 * L2 * weights.square().sum((1, 2))


def replay(timing: Timing, chosen: Tensor, *, lr: float, until: Tensor) -> Tensor:
    """SGD along recorded steps, each seed along its own; the parameters at the moments asked for.

        w_{t+1} = w_t - lr mean_k grad f_{i(t,k)}(w_{t - tau(t,k)}),    w_0 = 0

    timing: with as many gradients in every step. chosen: int64 [seed, step, gradient], the image of
    each. until: [moment], increasing, none later than any seed's last step.
    Returns: float32 [moment, seed, 785, 10], after the last step that was taken by that moment.
    """
    inputs, labels = samples(IMAGES)
    targets = one_hot(labels, CLASSES).float()
    taus = torch.from_numpy(timing.taus.astype(np.int64))
    seeds, _steps, gradients = taus.shape
    assert timing.times[:, -1].min() >= until[-1], "some seed takes too few steps"
    times = torch.from_numpy(timing.times.copy())
    taken = torch.searchsorted(times, until.expand(seeds, -1).contiguous(), right=True)
    memory = int(taus.max()) + 1
    history = torch.zeros(memory * seeds, inputs.shape[1], CLASSES)
    found = torch.zeros(len(until), seeds, inputs.shape[1], CLASSES)
    rows = torch.arange(seeds)
    w = torch.zeros(seeds, inputs.shape[1], CLASSES)
    for step in range(int(taken.max())):
        images = chosen[:, step]
        x, y = inputs[images], targets[images]
        if memory == 1:
            residuals = torch.bmm(x, w).softmax(-1) - y
            w = w * (1 - lr * L2)
        else:
            read = (step - taus[:, step]) % memory * seeds + rows[:, None]
            old = history[read.view(-1)]
            logits = torch.bmm(x.view(-1, 1, x.shape[-1]), old).view(seeds, gradients, CLASSES)
            residuals = logits.softmax(-1) - y
            w = w.sub(old.view(seeds, gradients, *old.shape[1:]).sum(1), alpha=lr * L2 / gradients)
        w.baddbmm_(x.mT, residuals, alpha=-lr / gradients)
        if memory > 1:
            slot = (step + 1) % memory * seeds
            history[slot : slot + seeds] = w
        for moment, row in zip(*np.nonzero((taken == step + 1).numpy().T), strict=True):
            found[moment, row] = w[row]
    return found
