"""What is known of the staleness: constant, workers in turn, or random with exponential workers."""

from dataclasses import dataclass
from numbers import Integral

#: A number of updates; or "round-robin" or "exponential", which need the number of workers.
Given = int | str


@dataclass(frozen=True)
class Staleness:
    """delay: updates between sending a point and its gradient; the mean one if `random`.

    workers: whose gradients are in flight. random: M workers with exponential times; followed is
    the mean of the parameters over the order of arrival.
    """

    delay: int
    workers: int
    random: bool = False


def find_staleness(staleness: Given, workers: int | None) -> Staleness:
    """What the arguments of the public functions mean; ValueError where they mean nothing."""
    if isinstance(staleness, str):
        if staleness not in ("round-robin", "exponential"):
            raise ValueError(
                'Expected a staleness in updates, "round-robin" or "exponential", '
                f"got {staleness!r}; give one of these."
            )
        if not _is_count(workers, least=1):
            raise ValueError(
                f'Expected at least 1 worker for "{staleness}", got {workers!r}; give workers.'
            )
        assert workers is not None
        return Staleness(workers - 1, workers, random=staleness == "exponential")
    if not _is_count(staleness, least=0):
        raise ValueError(
            f"Expected a staleness of whole updates >= 0, got {staleness!r}; use 0 for none."
        )
    if workers is not None:
        raise ValueError(
            f"Expected no workers beside a constant staleness, got {workers!r}; a staleness of D "
            'is that of D + 1 workers in turn: leave them out, or say "round-robin".'
        )
    return Staleness(staleness, staleness + 1)


def _is_count(value: object, *, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
