"""A sudden death."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ._fault import Moment, require_worker


@dataclass(frozen=True)
class Kill(Moment):
    """A worker dies without a word (SIGKILL), with the gradient it was computing.

    worker: whom. at: see `Moment`. Where restarts are left, a new incarnation follows.
    "server" is understood and refused by runs, until a run's server can be brought back.

    >>> Kill(2, at=30.0)
    Kill(worker=2, at=30.0)
    """

    kind: ClassVar[str] = "kill"

    worker: int | Literal["server"]  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.worker == "server":
            return
        require_worker(self.worker)
        super().__post_init__()
