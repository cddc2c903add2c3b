"""A sudden death."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ._fault import Moment, require_worker


@dataclass(frozen=True)
class Kill(Moment):
    """A worker dies without a word (SIGKILL), with the gradient it was computing.

    worker: whom. at: see `Moment`. Where restarts are left, a new incarnation follows.
    worker "server": the server's process, and its workers with it. The command `lagrad train`
    brings it back, from what its run has kept. In the simulator nothing is forgotten, as with
    durability every-step: all workers leave, and new ones come after the time of a healthy job.

    >>> Kill(2, at=30.0)
    Kill(worker=2, at=30.0)
    """

    kind: ClassVar[str] = "kill"

    worker: int | Literal["server"]  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.worker != "server":
            require_worker(self.worker)
        self.require_time()
