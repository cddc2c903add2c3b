"""The contract of a delay model."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class Delays(Protocol):
    """How long each job of each worker takes.

    The unit is the mean job of a healthy worker; a runtime knows how many seconds that is. A model
    whose own mean is not 1 (`Pareto`, `ShiftedExponential`) keeps the unit of its paper.
    """

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """The endless durations of the jobs of `worker`, finite and >= 0, the first job first.

        worker, seed: int >= 0. Equal arguments give equal streams; no other worker, no clock and
        no global state has a say in them.
        Raises: ValueError for a negative worker or seed, here or with the first duration.
        """
        ...


def require_delays(base: object) -> None:
    """Refuse as a base what is no delay model."""
    if not isinstance(base, Delays) or isinstance(base, type):
        raise ValueError(
            f"Expected a delay model as base, got {base!r}; for example Equal() or Gamma()."
        )
