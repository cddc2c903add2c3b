"""Places for a script's processes on the nodes of a Ray cluster, which come and go."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lagrad.runtimes import Cluster, Throttle, name_of

from ._door import Door
from ._place import Ending, Place
from ._relay import Errand, Relay
from ._tunnel import Tunnel

#: How often Ray is asked for the ends of relays, and how long those may take, in seconds.
_LOOK_EVERY_S, _GRACE_S = 0.1, 10.0


class Nodes:
    """A cluster as `lagrad run` sees it: relays that it places, and the tunnel to them.

    address: see `runtimes.Ray`; patience: seconds to connect. workers: places to be made. gpus:
    whether each has one, or a part of one. hung_after: see `Launch`.
    Raises: RunFailed where nobody answers.
    """

    def __init__(
        self,
        address: str | None,
        *,
        workers: int,
        gpus: bool,
        patience: float,
        hung_after: float | None,
        door: Door,
        echo: Callable[[int, str], None],
    ) -> None:
        self.cluster = Cluster(address, cpus=workers, gpus=gpus, patience=patience)
        self.gpus = self.cluster.gpus_of_each(workers) if gpus else 0.0
        self.hung_after = hung_after
        self.tunnel = Tunnel(
            self.cluster.host,
            door,
            echo=echo,
            settled=self.cluster.settled,
            hung_after=hung_after,
        )
        self.places: list[Place] = [NodePlace(number, nodes=self) for number in range(workers)]
        self._endings: dict[int, Ending] = {}
        self._looks = Throttle(_LOOK_EVERY_S)

    def ending(self, place: "NodePlace") -> Ending | None:
        """How the place's process has ended, once."""
        name = name_of(place.number, place.incarnation)
        exited = self.tunnel.exited.pop(name, None)
        if exited is not None:
            self._endings[place.number] = Ending(exited.code, exited.words)
        if (hung := self.tunnel.hung.pop(name, None)) and place.number not in self._endings:
            self.cluster.fell(place.number)
            words = f"its relay shows {hung}; it hung and was ended"
            self._endings[place.number] = Ending(1, words, lost=True)
        if self._looks.due(time.monotonic()):
            for end in self.cluster.ended():
                if end.key not in self._endings and self.places[end.key].alive:
                    self._endings[end.key] = Ending(1, end.words, lost=not end.failed)
        return self._endings.pop(place.number, None)

    def close(self) -> None:
        """No process outlives the run."""
        self.cluster.await_end(_GRACE_S)
        self.tunnel.close()
        self.cluster.leave()


@dataclass(eq=False)
class NodePlace(Place):
    """A place on whatever node has room."""

    nodes: Nodes = field(repr=False, kw_only=True)
    _alive: bool = False

    def spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        echo: Callable[[int, str], None],
        folder: Path | None,
    ) -> None:
        """Start the next incarnation as soon as a node has room."""
        del environment, echo  # the relay's door and the tunnel take their part
        self.renew()
        address = self.nodes.tunnel.address
        errand = Errand(
            self.number,
            self.incarnation,
            tuple(command),
            str(folder or Path.cwd()),
            address,
            self.nodes.hung_after,
        )
        self.nodes.cluster.start(self.number, Relay, errand, cpus=1, gpus=self.nodes.gpus)
        self._alive = True

    @property
    def alive(self) -> bool:
        """Whether it runs, or waits for room."""
        return self._alive

    @property
    def pid(self) -> int:
        """0: a process of another host has none here."""
        return 0

    def ended(self) -> Ending | None:
        """See `Place.ended`."""
        ending = self.nodes.ending(self) if self._alive else None
        if ending is not None:
            self._alive = False
        return ending

    def end(self) -> None:
        """Have it ended, in its own time; one that waits for room is given up."""
        if not self._alive:
            return
        self._alive = False
        if self.connection is None:
            self.nodes.cluster.stop(self.number)
        else:
            self.nodes.tunnel.dismiss(self.number, self.incarnation)
