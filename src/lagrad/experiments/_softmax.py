"""Softmax regression on the first images of MNIST: its samples, and where it is least."""

import math
from functools import cache

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import cross_entropy

from lagrad.tasks import mnist

CLASSES = 10


@cache
def samples(images: int) -> tuple[Tensor, Tensor]:
    """Pixels in [0, 1] with a constant 1, float32 [images, 785], and labels, int64 [images]."""
    pictures, labels = mnist(train=True)
    pixels = pictures[:images].flatten(1).float() / 255
    return torch.cat([pixels, torch.ones(len(pixels), 1)], dim=1), labels[:images]


def minimise(inputs: Tensor, labels: Tensor, l2: float) -> Tensor:
    """The minimiser of mean cross entropy + l2/2 ‖w‖^2, [inputs, classes], float64.

    Its distance from the true one is at most ‖gradient‖/l2, which is held below 1e-5.
    """
    shape = inputs.shape[1], CLASSES

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.tensor(flat).view(shape).requires_grad_()
        loss = cross_entropy(inputs @ w, labels) + 0.5 * l2 * w.square().sum()
        (gradient,) = torch.autograd.grad(loss, w)
        return loss.item(), gradient.flatten().numpy()

    found = minimize(
        value,
        np.zeros(math.prod(shape)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "maxfun": 5000, "ftol": 0.0, "gtol": 1e-10, "maxcor": 30},
    )
    assert np.linalg.norm(found.jac) < 1e-5 * l2, found
    return torch.tensor(found.x).view(shape)
