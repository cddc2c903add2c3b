"""What every schedule asks of its rates."""

import math


def require_rate(name: str, rate: float) -> None:
    """Refuse a learning rate that is negative or not finite."""
    if not 0 <= rate < math.inf:
        raise ValueError(
            f"Expected a finite {name} >= 0, got {rate}; "
            "a learning rate is subtracted along the gradient, so give it without a sign."
        )


def require_updates(updates: int) -> None:
    """Refuse a span of no updates."""
    if not updates >= 1:
        raise ValueError(
            f"Expected updates >= 1, got {updates}; they are how long the rate takes to move."
        )
