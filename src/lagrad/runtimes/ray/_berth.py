"""A place for one worker of a Ray run; after a death another incarnation takes it."""

from dataclasses import dataclass

from lagrad.runtimes._backoff import Backoff
from lagrad.runtimes.wire._wire import name_of


@dataclass
class Berth:
    """number: of the worker. incarnation: of the actor that was started last.

    node: of Ray, "" until the actor has told. leaving: whether it has said that it leaves. place:
    when it is filled again after a failure of the worker's own. heard_at: when something has come
    last, on the run's clock.
    """

    #: What a checkpoint keeps; processes are none of it.
    CHANGES = ("place",)

    number: int
    place: Backoff
    incarnation: int = -1
    ready: bool = False
    node: str = ""
    leaving: bool = False
    heard_at: float = 0.0

    @property
    def name(self) -> bytes:
        """How listeners know it."""
        return name_of(self.number, self.incarnation)
