"""The contract of an aggregation: one vector instead of many, whatever a few of them are."""

from typing import Protocol

from torch import Tensor


class Aggregation(Protocol):
    """One vector in place of the mean of a step's gradients."""

    def __hash__(self) -> int:
        """Aggregations are values."""
        ...

    @property
    def fewest(self) -> int:
        """So many gradients a step must have for the aggregation to bear what it says it bears."""
        ...

    @property
    def elementwise(self) -> bool:
        """Whether each element of the result comes from that element of the gradients alone."""
        ...

    def __call__(self, values: Tensor, /) -> Tensor:
        """values: [n, P], n >= 1, read only, all finite. Returns: [P], new.

        Of fewer than `fewest` gradients it makes what it can: as many as can be are borne.
        """
        ...


def require_count(name: str, number: int, least: int) -> None:
    """Refuse what is no whole number of at least `least`."""
    if not isinstance(number, int) or number < least:
        raise ValueError(f"Expected {name} >= {least}, got {number}; give a whole number.")
