"""Look-ahead: where the server will be when the worker's gradient arrives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class RollForward:
    """Roll the momentum recursion over the gradients in flight, filled in by the last gradient.

        send  x - eta (A u + B g),   A = reach * sum_{j=1..D} beta^j,
        B = fill * beta^D sum_{j=1..D} (1 - beta^j) / (1 - beta)

    as if each of the D gradients in flight equalled the last one and arrived damped by beta^D.
    D: expected staleness, the server's running median, may be fractional: the sums are taken in
    closed form. u: the momentum, g: the mean gradient of the last step.
    reach, fill: >= 0. (1, 1) is roll-forward; (2, 1) is RFx2, for noise without averaged weights;
    a fuller fill of 1.5 to 2 was ahead early in the training of networks.
    Source: ours; a lead with evidence on quadratics and MNIST, not a theorem.

    >>> RollForward().coefficients(0.5, 1.0)
    (0.5, 0.5)
    """

    reach: float = 1.0
    fill: float = 1.0

    def __post_init__(self) -> None:
        for name in ("reach", "fill"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"Expected a finite {name} >= 0, got {getattr(self, name)}; "
                    "use 1 for the plain one."
                )

    def coefficients(self, beta: float, steps: float) -> tuple[float, float]:
        """(A, B) for momentum beta in [0, 1) and D = `steps` >= 0."""
        power = beta**steps
        reached = beta * (1.0 - power) / (1.0 - beta)
        filled = power * (steps - reached) / (1.0 - beta)
        return self.reach * reached, self.fill * filled

    def terms(
        self, momentum: Tensor, last: Tensor, *, lr: float, beta: float, steps: float
    ) -> list[tuple[Tensor, float]]:
        """The two vectors of which the point is x + a v + b w, with their factors a and b."""
        reached, filled = self.coefficients(beta, steps)
        return [(momentum, -lr * reached), (last, -lr * filled)]


def led(params: Tensor, terms: Sequence[tuple[Tensor, float]]) -> Tensor:
    """x + sum of a v, a new vector; x itself where there is nothing to add."""
    point = params
    for vector, factor in terms:
        point = (
            point.add(vector, alpha=factor) if point is params else point.add_(vector, alpha=factor)
        )
    return point
