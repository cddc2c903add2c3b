"""The server's end of the relays: to the server, a script on another node is one on its host."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from torch import Tensor

from lagrad.runtimes import (
    Dismissed,
    Exited,
    Hello,
    Keys,
    Letter,
    Printed,
    Pulses,
    Relayed,
    Wire,
    name_of,
    poll,
    receive,
)

from ._door import Door
from ._memory import Memory
from ._messages import (
    Compute,
    Delivered,
    Described,
    Given,
    Mapped,
    Seated,
    Stop,
    read_by_script,
    read_by_server,
)

#: Longest sleep of the thread, so that what it is asked for is noticed, in seconds.
_PULSE_S = 0.05
#: The model is not known when the wire is laid: a frame may be as large as any model, in bytes.
_LARGEST = 1 << 38


@dataclass(eq=False)
class _End:
    """What stands for one script at the server's door. connection: None before it has joined.

    over: whether nothing more is to be heard of its relay.
    """

    worker: int
    connection: Connection | None = None
    state: Path | None = None
    described: Described | None = None
    memory: Memory | None = None
    over: bool = False


class Tunnel:
    """Passes on, in a thread, what relays and the server's door tell each other.

    host: of this process, as the nodes know it. door: of the server. echo: gets lines that
    scripts print, with the worker's number. settled: gets the node that a worker is on, and the
    process of its relay there. hung_after: see `Launch`.
    exited: how the processes have ended, by the name of their relay. hung: which relays hang
    themselves, and why, in words.
    """

    def __init__(
        self,
        host: str,
        door: Door,
        *,
        echo: Callable[[int, str], None],
        settled: Callable[[int, str, int], None],
        hung_after: float | None,
    ) -> None:
        self.wire, self.address = Wire.listen(host, Keys.make(), _LARGEST)
        self.exited: dict[bytes, Exited] = {}
        self.hung: dict[bytes, str] = {}
        self._pulses = Pulses(after=hung_after)
        self._door, self._echo, self._settled = door, echo, settled
        self._ends: dict[bytes, _End] = {}
        self._to_dismiss: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def dismiss(self, worker: int, incarnation: int) -> None:
        """Have a script's process ended."""
        self._to_dismiss.put(name_of(worker, incarnation))

    def close(self) -> None:
        """End the thread and the wire."""
        self._closing.set()
        self._thread.join()
        self.wire.close()

    def _work(self) -> None:
        while not (self._closing.is_set() and self._to_dismiss.empty()):
            joined = [(n, e.connection) for n, e in self._ends.items() if e.connection is not None]
            poll([self.wire], _PULSE_S, [connection.fileno() for _, connection in joined])
            while not self._to_dismiss.empty():
                self.wire.send(Dismissed(), peer=self._to_dismiss.get())
            while (letter := self.wire.receive()) is not None:
                if not self._pulses.take(letter):
                    self._from_relay(letter)
            watched = {name for name, end in self._ends.items() if not end.over}
            for name, words in self._pulses.look(time.monotonic(), watched).items():
                self._ends[name].over = True
                self.hung[name] = words
            for name, connection in joined:
                while not connection.closed and connection.poll():
                    self._from_server(name, self._ends[name], connection)
        for end in self._ends.values():
            self._hang_up(end)

    def _hang_up(self, end: _End) -> None:
        if end.connection is not None:
            end.connection.close()
        end.connection = end.memory = None

    def _from_relay(self, letter: Letter) -> None:
        number, _, _ = letter.peer.partition(b".")
        if not number.isdigit():
            return  # no relay's name
        worker = int(number)
        end = self._ends.setdefault(letter.peer, _End(worker))
        match letter.message:
            case Hello(pid, node):
                self._settled(worker, node, pid)
            case Printed(lines):
                for line in lines:
                    self._echo(worker, line)
            case Exited() as exited:
                self._hang_up(end)
                end.over = True
                self.exited[letter.peer] = exited
                self.wire.send(Dismissed(), peer=letter.peer)
            case Relayed(content):
                try:
                    self._to_server(end, content, letter)
                except (ValueError, IndexError):  # no relay says that
                    self._hang_up(end)

    def _to_server(self, end: _End, content: bytes, letter: Letter) -> None:
        message = read_by_server(content)
        match message:
            case Described() if end.state is not None:
                end.described = message
                end.state.write_bytes(letter.tensors[0])
            case Delivered() if end.memory is not None:
                end.memory.take(letter, *end.memory.pushed_parts)
        if end.connection is None:
            end.connection = self._door.knock()
        try:
            end.connection.send_bytes(content)
        except OSError:
            return  # the server has hung up, which its end of the connection reports

    def _from_server(self, name: bytes, end: _End, connection: Connection) -> None:
        try:
            content = receive(connection)
        except (EOFError, OSError):
            self._hang_up(end)
            return
        tensors: list[Tensor] = []
        match read_by_script(content):
            case Seated() as seated:
                end.state = Path(seated.state)
            case Mapped(path):
                assert end.described is not None
                end.memory = memory = Memory.described(Path(path), end.described)
                tensors = [part.clone() for part in (*memory.trained_parts, *memory.point_parts)]
            case Compute():
                assert end.memory is not None
                # Written again only after the gradient has come.
                tensors = [*end.memory.point_parts]
            case Given() | Stop() if end.memory is not None:
                tensors = [part.clone() for part in end.memory.trained_parts]
        self.wire.send(Relayed(content), *tensors, peer=name)
