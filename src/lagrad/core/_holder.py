"""Where the parameters lie, and who carries the steps out: here in place and at once."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from ._interfaces import Gradient, Rule


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
        """What workers are sent: the rule's answer, [P].

        It stays until the next is asked for, which is after another step at the earliest.
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
