"""A rate that stays."""

from dataclasses import dataclass

from ._rate import require_rate


@dataclass(frozen=True)
class Constant:
    """The same learning rate at every version.

        eta(v) = lr

    lr: float >= 0, finite (0: nothing moves).
    Raises: ValueError for an lr below 0 or not finite.
    Source: none needed.

    >>> Constant(lr=0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        require_rate("lr", self.lr)

    def __call__(self, version: int) -> float:
        """The rate at `version`."""
        del version
        return self.lr
