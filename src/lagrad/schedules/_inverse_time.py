"""The step of strongly convex problems."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class InverseTime:
    """A learning rate that falls like one over time, for strongly convex problems.

        eta(v) = 1 / (lambda (v + 1))

    strong_convexity: lambda > 0, float, in units of the second derivative of the loss.
    Raises: ValueError for a lambda that is not positive and finite, or too small for a finite rate.
    Source: gamma_k = 1 / (lambda k), section 2 of "Benefits of staleness and asynchrony in machine
    learning algorithms" (Wang, Ma, Jin, 2017); its k counts from 1, versions from 0.

    >>> [InverseTime(strong_convexity=0.5)(version) for version in (0, 1, 3)]
    [2.0, 1.0, 0.5]
    """

    strong_convexity: float

    def __post_init__(self) -> None:
        if not 0 < self.strong_convexity < math.inf or not math.isfinite(1 / self.strong_convexity):
            raise ValueError(
                f"Expected a finite strong_convexity > 0, got {self.strong_convexity}; "
                "where the loss is not strongly convex, use another schedule."
            )

    def __call__(self, version: int) -> float:
        """The rate at `version`."""
        return 1.0 / (self.strong_convexity * (version + 1))
