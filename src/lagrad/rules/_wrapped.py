"""What rules that wrap another rule share: the wrapped rule's answers."""

from typing import Any

from torch import Tensor

from lagrad.core import Rule

from ._base import is_elementwise, takes_lengths


class Wrapped:
    """For rules around `rule`, which answers whatever the outer one does not.

    Its state is `inner` of the outer one's. By this class it is known that there is a rule within:
    which workers it counts, and whose learning rate a script's schedulers change.
    """

    rule: Rule

    @property
    def needs_snapshots(self) -> bool:
        """As the wrapped rule does."""
        return self.rule.needs_snapshots

    @property
    def looks_ahead(self) -> bool:
        """As the wrapped rule does."""
        return self.rule.looks_ahead

    @property
    def elementwise(self) -> bool:
        """As the wrapped rule is."""
        return is_elementwise(self.rule)

    @property
    def takes_lengths(self) -> bool:
        """As the wrapped rule does."""
        return takes_lengths(self.rule)

    def weight_of(self, tau: int, *, version: int, state: Any) -> float:
        """The wrapped rule's weight."""
        return self.rule.weight_of(tau, version=version, state=state.inner)

    def point(self, params: Tensor, state: Any, *, version: int, expected_tau: float) -> Tensor:
        """The wrapped rule's point."""
        return self.rule.point(params, state.inner, version=version, expected_tau=expected_tau)
