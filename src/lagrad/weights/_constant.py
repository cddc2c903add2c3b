"""The same weight for all."""

from dataclasses import dataclass

from ._age import require_age


@dataclass(frozen=True)
class Constant:
    """Every gradient counts in full, however late.

        w(k) = 1

    k: int >= 0, versions. Returns: 1.0.
    Raises: ValueError for k < 0.
    Source: plain asynchronous SGD.

    >>> Constant()(100)
    1.0
    """

    def __call__(self, k: int) -> float:
        """The weight at k."""
        require_age(k)
        return 1.0
