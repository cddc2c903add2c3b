"""An exponential of the age."""

import math
from dataclasses import dataclass

from ._age import require_age


@dataclass(frozen=True)
class Exponential:
    """A gradient's weight falls by the same factor e^(-rate) with every version.

        w(k) = e^(-rate k)

    k: int >= 0, versions. rate: float >= 0, per version (0: nothing fades).
    Returns: float in [0, 1], w(0) = 1.
    Raises: ValueError for a rate below 0 or not finite, or k < 0.
    Source: gamma_k = gamma e^(-k), "exponentially", in "Benefits of staleness and asynchrony in
    machine learning algorithms" (Wang, Ma, Jin, 2017); deviation: the rate is free.

    >>> round(Exponential(rate=0.5)(2), 12)
    0.367879441171
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.rate < math.inf:
            raise ValueError(
                f"Expected a finite rate >= 0, got {self.rate}; use 0 for weights that never fade."
            )

    def __call__(self, k: int) -> float:
        """The weight at k."""
        require_age(k)
        return math.exp(-self.rate * k)
