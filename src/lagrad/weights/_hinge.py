"""Full weight for a while, then a hyperbola."""

import math
from dataclasses import dataclass

from ._age import require_age


@dataclass(frozen=True)
class Hinge:
    """Full weight up to an age, then a weight that falls like its inverse.

        w(k) = 1 if k <= start, else 1 / (slope (k - start) + 1)

    k: int >= 0, versions. slope: float >= 0, per version. start: int >= 0, versions, the last age
    of full weight.
    Returns: float in (0, 1], w(0) = 1.
    Raises: ValueError for a slope or start below 0 or a slope that is not finite, or k < 0.
    Source: Xie, Koyejo, Gupta 2019, arXiv:1903.03934 (FedAsync), the hinge s(t - tau), with
    a = slope = 10 and b = start = 4; values second hand.

    >>> [round(Hinge(slope=1.0, start=4)(k), 3) for k in (4, 5, 6)]
    [1.0, 0.5, 0.333]
    """

    slope: float = 10.0
    start: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.slope < math.inf:
            raise ValueError(
                f"Expected a finite slope >= 0, got {self.slope}; "
                "use CutOff where nothing older than `start` may count."
            )
        if not self.start >= 0:
            raise ValueError(
                f"Expected start >= 0 versions, got {self.start}; use 0 to fade from the first one."
            )

    def __call__(self, k: int) -> float:
        """The weight at k."""
        require_age(k)
        return 1.0 if k <= self.start else 1.0 / (self.slope * (k - self.start) + 1.0)
