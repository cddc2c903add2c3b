"""The strongly convex problems of the experiment `bound`."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ._bound_errors import Problem
from ._softmax import CLASSES, minimise, samples

DIMENSION = 20
#: Images of MNIST that the softmax regressions are about, and of a minibatch.
IMAGES, BATCH = 2000, 32


def sphere() -> Problem:
    """f = ‖w‖^2/2 with noise across w that makes every gradient's norm 1: the bound's worst case.

    grad f_S(w) = w + xi, xi perpendicular to w, ‖xi‖^2 = 1 - ‖w‖^2; it starts at the minimiser.
    """
    zero = torch.zeros(DIMENSION, dtype=torch.float64)
    return Problem(_noise_across, zero, zero, strong_convexity=1.0, radius=1.0, gradient_bound=1.0)


def _noise_across(w: Tensor, random: torch.Generator) -> Tensor:
    noise = torch.randn(w.shape[1:], dtype=w.dtype, generator=random).expand_as(w)
    square = w.square().sum(-1, keepdim=True)
    noise = noise - (noise * w).sum(-1, keepdim=True) / square.clamp_min(1e-300) * w
    size = (1 - square).clamp_min(0.0).sqrt()
    across: Tensor = size * noise / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
    return w + across


def quadratic(condition: float) -> Problem:
    """f = 1/2 sum_i lambda_i w_i^2, lambda_i from 1 to `condition`, with additive Gaussian noise.

    grad f_S(w) = Lambda w + xi, E‖xi‖^2 = 1; on the unit ball, starting at its edge.
    """
    spectrum = torch.logspace(0, math.log10(condition), DIMENSION, dtype=torch.float64)
    return Problem(
        partial(_noise_added, spectrum),
        torch.full((DIMENSION,), DIMENSION**-0.5, dtype=torch.float64),
        torch.zeros(DIMENSION, dtype=torch.float64),
        strong_convexity=1.0,
        radius=1.0,
        gradient_bound=math.hypot(condition, 1.0),
    )


def _noise_added(spectrum: Tensor, w: Tensor, random: torch.Generator) -> Tensor:
    noise = torch.randn(w.shape[1:], dtype=w.dtype, generator=random)
    return torch.addcmul(noise.div_(math.sqrt(DIMENSION)), spectrum, w)


def softmax(l2: float) -> Problem:
    """Softmax regression on 2,000 images of MNIST, l2-strongly convex, minibatches of 32.

    On the ball of twice the minimiser's norm. M: the cross entropy's gradient at one image is
    (p - y) x^T with ‖p - y‖^2 <= 2, hence E‖grad f_S‖^2 <= (sqrt(2 mean‖x‖^2) + l2 radius)^2.
    """
    inputs, labels = samples(IMAGES)
    minimiser = minimise(inputs.double(), labels, l2)
    radius = 2 * float(minimiser.norm())
    steepest = math.sqrt(2 * inputs.square().sum(1).mean().item())
    return Problem(
        partial(_minibatches, inputs, one_hot(labels, CLASSES).float(), l2),
        torch.zeros(minimiser.numel()),
        minimiser.flatten().float(),
        strong_convexity=l2,
        radius=radius,
        gradient_bound=steepest + l2 * radius,
    )


def _minibatches(
    inputs: Tensor, targets: Tensor, l2: float, w: Tensor, random: torch.Generator
) -> Tensor:
    laws, seeds, _ = w.shape
    chosen = torch.randint(len(inputs), (seeds, BATCH), generator=random)
    x, y = inputs[chosen], targets[chosen]
    # One product per seed, whose laws share its minibatch: [seeds, BATCH, laws * classes].
    stacked = w.view(laws, seeds, -1, CLASSES).permute(1, 2, 0, 3).reshape(seeds, x.shape[2], -1)
    logits = torch.bmm(x, stacked).view(seeds, BATCH, laws, CLASSES)
    residuals = (logits.softmax(-1) - y.unsqueeze(2)).div_(BATCH).view(seeds, BATCH, -1)
    gradient = torch.bmm(x.mT, residuals).view(seeds, -1, laws, CLASSES).permute(2, 0, 1, 3)
    return torch.add(gradient.reshape_as(w), w, alpha=l2)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "sphere": sphere,
    "quadratic, condition 1": partial(quadratic, 1.0),
    "quadratic, condition 10": partial(quadratic, 10.0),
    "softmax, l2 0.1": partial(softmax, 0.1),
    "softmax, l2 0.01": partial(softmax, 0.01),
}
