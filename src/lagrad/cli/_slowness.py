"""Slowness on purpose, as options say it."""

from typing import Any


def slowness(slow: list[str], delays: str | None, workers: int) -> Any:
    from lagrad import specs
    from lagrad.delays import Equal, Factors

    base = Equal() if delays is None else specs.parse("delays", delays)
    if not slow:
        return base
    factors = []
    for text in slow:
        worker, _, factor = text.partition(":")
        try:
            factors.append((int(worker), float(factor)))
        except ValueError:
            raise ValueError(f"Expected --slow WORKER:FACTOR such as 0:6, got {text!r}.") from None
        if factors[-1][0] >= workers:
            raise ValueError(f"Expected --slow of a worker below {workers}, got {text!r}.")
    return Factors(tuple(factors), base=base)
