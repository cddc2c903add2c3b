"""Gradients that are off by a given share of their size, and the descent that they lead astray."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lagrad.theory import DistanceBound, first_step

from ._statistics import interval

Kind = Literal["none", "alpha/k", "alpha/sqrt(k)", "constant"]
#: Where an error of the allowed size points. All but "random" are functions of the gradient drawn.
ADVERSARIES = ("random", "short", "away", "greedy")
#: Gradients of all laws at step k, from their points [laws, seeds, d].
Draw = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Law:
    """How large the relative error of step k is: eps_k."""

    kind: Kind
    strength: float = 0.0

    def __call__(self, k: int) -> float:
        """eps_k."""
        match self.kind:
            case "alpha/k":
                return self.strength / k
            case "alpha/sqrt(k)":
                return self.strength / math.sqrt(k)
            case _:
                return self.strength

    def bounds(self, bound: DistanceBound, steps: Sequence[int]) -> dict[str, list[float]]:
        """The theorem for this law, or M^2/lambda^2 if less, and the best bound, at `steps`."""
        sharp = [bound.squared_radius, *bound.sharp([self(k) for k in range(2, max(steps))])]
        return {
            "bound": [min(self._bound(bound, k, sharp), bound.squared_radius) for k in steps],
            "sharp": [sharp[k - 1] for k in steps],
        }

    def _bound(self, bound: DistanceBound, k: int, sharp: Sequence[float]) -> float:
        match self.kind:
            case "none":
                return bound.without_error(k)
            case "alpha/k" if k >= (k0 := first_step(self.strength)):
                return bound.shrinking(k, alpha=self.strength, at_first=sharp[k0 - 1])
            case "alpha/sqrt(k)" if k >= 2:
                return bound.slowly_shrinking(k, alpha=self.strength)
            case "constant":
                return bound.constant(k, eps=self.strength)
            case _:
                return bound.squared_radius


LAWS = (
    Law("none"),
    *(Law("alpha/k", alpha) for alpha in (0.5, 1.0, 2.0, 4.0)),
    *(Law("alpha/sqrt(k)", alpha) for alpha in (0.5, 1.0)),
    *(Law("constant", eps) for eps in (0.05, 0.1, 0.3)),
)


@dataclass(frozen=True)
class Problem:
    """A strongly convex f with noisy gradients, on a ball around 0 that holds its minimiser.

    draw: gradients, unbiased. start, minimiser: [d]. strong_convexity: lambda. radius: of the
    ball. gradient_bound: M with E‖gradient‖^2 <= M^2 everywhere in it.
    """

    draw: Draw
    start: Tensor
    minimiser: Tensor
    strong_convexity: float
    radius: float
    gradient_bound: float


def descend(
    problem: Problem, *, adversary: str, steps: int, seeds: int, points: int = 40
) -> list[dict[str, Any]]:
    """Rows of measured E‖w_k - w*‖^2 and their bounds, for every law at about `points` steps.

    All laws meet the same noise. The bounds called `along` take for M^2 the largest mean square
    of a gradient met from step 2 on, in place of what holds in the whole ball.
    """
    recorded = sorted({round(steps ** (i / (points - 1))) for i in range(points)})
    random = torch.Generator().manual_seed(seeds)
    w = problem.start.expand(len(LAWS), seeds, -1).clone()
    met = torch.zeros(len(LAWS))
    squared: dict[int, Tensor] = {}
    for k in range(1, steps + 1):
        if k in recorded:
            squared[k] = (w - problem.minimiser).square().sum(-1)
        gradient = problem.draw(w, random)
        if k >= 2:
            met = torch.maximum(met, gradient.square().sum(-1).mean(-1))
        eps = torch.tensor([law(k) for law in LAWS], dtype=w.dtype).view(-1, 1, 1)
        rate = 1 / (problem.strong_convexity * k)
        w = _step(
            w,
            gradient,
            eps=eps,
            rate=rate,
            problem=problem,
            adversary=adversary,
            random=random,
        )
    return [
        row
        for number, law in enumerate(LAWS)
        for row in _rows(
            problem,
            law,
            {k: values[number].tolist() for k, values in squared.items()},
            along=math.sqrt(met[number].item()),
        )
    ]


def _step(
    w: Tensor,
    gradient: Tensor,
    *,
    eps: Tensor,
    rate: float,
    problem: Problem,
    adversary: str,
    random: torch.Generator,
) -> Tensor:
    offset = w - problem.minimiser
    landing = torch.sub(offset, gradient, alpha=rate)
    match adversary:
        case "greedy":
            direction = landing
        case "away":
            direction = offset
        case "short":
            direction = gradient
        case _:
            direction = torch.randn(w.shape[1:], dtype=w.dtype, generator=random)
    size = rate * eps * torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    length = torch.linalg.vector_norm(direction, dim=-1, keepdim=True).clamp_min(1e-30)
    w = landing.add_(size / length * direction).add_(problem.minimiser)
    norm = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
    return w.mul_((problem.radius / norm).clamp_max(1.0))


def _rows(
    problem: Problem, law: Law, squared: dict[int, list[float]], *, along: float
) -> list[dict[str, Any]]:
    steps = list(squared)
    inside = DistanceBound(
        gradient_bound=problem.gradient_bound, strong_convexity=problem.strong_convexity
    )
    met = DistanceBound(gradient_bound=along, strong_convexity=problem.strong_convexity)
    bounds, bounds_along = law.bounds(inside, steps), law.bounds(met, steps)
    at_one = sum(squared[1]) / len(squared[1])
    rows = []
    for number, (k, values) in enumerate(squared.items()):
        mean, half_width = interval(values)
        rows.append(
            {
                "kind": law.kind,
                "strength": law.strength,
                "k": k,
                "squared_distance": mean,
                "half_width": half_width,
                **{name: column[number] for name, column in bounds.items()},
                **{f"{name}_along": column[number] for name, column in bounds_along.items()},
                "note": inside.of_the_note(k, at_one=at_one),
                "gradient_bound": problem.gradient_bound,
                "gradient_bound_along": along,
            }
        )
    return rows
