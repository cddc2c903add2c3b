"""Where the parameters lie, and who carries the steps out: here in place and at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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


class Coordinates(Protocol):
    """What some coordinates can be read of, as of a tensor."""

    def index_select(self, dim: int, index: Tensor, /) -> Tensor:
        """Copies of the elements `index` [n] of dimension 0, [n]."""
        ...


class Holder(Coordinates, Protocol):
    """Holds the parameters and carries out steps on them, perhaps later, all at once.

    Whoever reads the parameters or the rule's state asks here first: then nothing is owed.
    """

    @property
    def params(self) -> Tensor:
        """The parameters after all steps, [P]; read only. The next step may be made elsewhere."""
        ...

    def step(self, rule: Rule, state: Any, gradients: Sequence[Gradient], *, version: int) -> None:
        """Take a step. The gradients stay as they are until the parameters are asked for."""
        ...

    def point(self, rule: Rule, state: Any, *, version: int, expected_tau: float) -> Tensor:
        """What workers are sent: the rule's answer, [P], which stays until the next is asked for.

        A step comes between, at least.
        """
        ...

    def settle(self) -> None:
        """Carry out what is owed."""
        ...

    def replace(self, params: Tensor) -> None:
        """The parameters are those of `params` [P] from now on."""
        ...


class InPlace:
    """The reference: the parameters are one vector, and a step is the rule's own.

    params: [P], changed in place.
    """

    def __init__(self, params: Tensor) -> None:
        self.params = params

    def step(self, rule: Rule, state: Any, gradients: Sequence[Gradient], *, version: int) -> None:
        """Apply the rule."""
        rule.apply(self.params, state, gradients, version=version)

    def point(self, rule: Rule, state: Any, *, version: int, expected_tau: float) -> Tensor:
        """Ask the rule."""
        return rule.point(self.params, state, version=version, expected_tau=expected_tau)

    def settle(self) -> None:
        """Nothing is ever owed."""

    def replace(self, params: Tensor) -> None:
        """Copy them."""
        self.params.copy_(params)

    def index_select(self, dim: int, index: Tensor, /) -> Tensor:
        """Of the parameters."""
        return self.params.index_select(dim, index)
