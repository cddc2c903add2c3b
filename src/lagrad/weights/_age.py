"""What every weight asks of its argument."""


def require_age(k: int) -> None:
    """Refuse a staleness or an age below 0."""
    if k < 0:
        raise ValueError(
            f"Expected a staleness or age k >= 0 in versions, got {k}; "
            "a gradient cannot come from the future."
        )
