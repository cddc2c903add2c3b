"""What a rule says of its steps and points, so that others may make them: all of it is linear."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ._interfaces import Gradient, Rule


@dataclass(frozen=True, slots=True)
class Linear:
    """A step that is linear in all it moves, and does not look at the parameters.

        m <- decay m + factor g,   x <- x - rate m       (velocity m [P])
        x <- x - rate factor g                           (velocity None)

    values: g [P], read only.
    """

    velocity: Tensor | None
    decay: float
    values: Tensor
    factor: float
    rate: float

    def apply(self, params: Tensor, out: Tensor) -> None:
        """Write x after the step into `out`, which may be `params` itself; the velocity moves too.

        The plain version, in passes of one operation each.
        """
        moving, scale = self.values, self.rate * self.factor
        if self.velocity is not None:
            moving = self.velocity.mul_(self.decay).add_(self.values, alpha=self.factor)
            scale = self.rate
        if out is params:
            params.add_(moving, alpha=-scale)
        else:
            out.copy_(params).add_(moving, alpha=-scale)

    def of(self, velocity: Tensor | None, values: Tensor) -> "Linear":
        """The step of some coordinates alone, given theirs of m and g."""
        return Linear(velocity, self.decay, values, self.factor, self.rate)


def linear_step(
    rule: Rule, state: Any, gradients: Sequence[Gradient], *, version: int
) -> Linear | None:
    """Step number `version` of a rule whose step is linear; None where it is not, or does not say.

    A rule says so by a method `linear` with the arguments of `apply` but for the parameters; it
    changes nothing. Carrying out what it returns must be what `apply` does, bit for bit.
    """
    linear = getattr(rule, "linear", None)
    if linear is None:
        return None
    found: Linear | None = linear(state, gradients, version=version)
    return found


def terms_ahead(
    rule: Rule, state: Any, *, version: int, expected_tau: float
) -> Sequence[tuple[Tensor, float]] | None:
    """The pairs (v, a) of a rule that sends x + sum of a v; none of them: x itself.

    None where a rule sends anything else, or does not say. It says so by a method `terms_ahead`
    with the arguments of `point` but for the parameters. Adding the terms in their order must be
    what `point` does, bit for bit.
    """
    terms = getattr(rule, "terms_ahead", None)
    if terms is None:
        return None
    found: Sequence[tuple[Tensor, float]] | None
    found = terms(state, version=version, expected_tau=expected_tau)
    return found
