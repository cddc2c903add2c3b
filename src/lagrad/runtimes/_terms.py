"""What runtimes whose workers are processes are asked alike, at the door."""

import math
from collections.abc import Sequence

from lagrad.chaos import Fault, Kill


def refuse_death_of_server(chaos: Sequence[Fault]) -> None:
    """Where nobody would bring it back. Raises: ValueError."""
    for fault in chaos:
        if isinstance(fault, Kill) and fault.worker == "server":
            raise ValueError(
                f"Expected faults of workers alone, got {fault}; nobody would bring this server "
                "back: the commands `lagrad train` and `lagrad run` do, with checkpoints."
            )


def require_restarts(restarts: int) -> None:
    """Raises: ValueError for what is no number of restarts."""
    if not isinstance(restarts, int) or restarts < 0:
        raise ValueError(f"Expected restarts >= 0, got {restarts}; use 0 for none.")


def require_hung_after(hung_after: float | None) -> None:
    """Raises: ValueError for less than a few beats of a process, or for ever."""
    if hung_after is not None and not (
        isinstance(hung_after, int | float) and 1 <= hung_after < math.inf
    ):
        raise ValueError(
            f"Expected hung_after >= 1 second or None, got {hung_after}; "
            "use None for never, on the command line 0."
        )


def require_seconds_per_job(seconds_per_job: float | None) -> None:
    """Raises: ValueError for none at all, or endless ones."""
    if seconds_per_job is not None and not (
        isinstance(seconds_per_job, int | float) and 0 < seconds_per_job < math.inf
    ):
        raise ValueError(
            f"Expected seconds_per_job > 0 or None, got {seconds_per_job}; "
            "leave it out for as long as the gradient takes."
        )
