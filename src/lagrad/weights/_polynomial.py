"""A power of the age."""

import math
from dataclasses import dataclass

from ._age import require_age


@dataclass(frozen=True)
class Polynomial:
    """A gradient's weight falls like a power of its age, with a heavy tail.

        w(k) = (1 + k)^(-power)

    k: int >= 0, versions. power: float >= 0 (0: nothing fades; 1: `Inverse`).
    Returns: float in [0, 1], w(0) = 1.
    Raises: ValueError for a power below 0 or not finite, or k < 0.
    Source: Xie, Koyejo, Gupta 2019, arXiv:1903.03934 (FedAsync), the polynomial s(t - tau), whose
    power they set to 0.5; value second hand.

    >>> Polynomial(power=1.0)(3)
    0.25
    """

    power: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.power < math.inf:
            raise ValueError(
                f"Expected a finite power >= 0, got {self.power}; "
                "the weight is (1 + k)^(-power), so give the power without its sign."
            )

    def __call__(self, k: int) -> float:
        """The weight at k."""
        require_age(k)
        return float((1.0 + k) ** -self.power)
