"""On a node of Ray: runs a script's process, and passes on what it and the server tell each other.

To the script the relay is the server: a socket and memory on its own host. Messages go on as they
are; the tensors that they are about travel with them.
"""

import os
import queue
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import torch

from lagrad.core import Unreadable
from lagrad.runtimes import (
    Address,
    Dismissed,
    Exited,
    Letter,
    Notice,
    Printed,
    Relayed,
    Wire,
    beating,
    name_of,
    own_hello,
    own_node,
    poll,
    receive,
)

from ._door import Door
from ._memory import Memory
from ._messages import (
    Begun,
    Compute,
    Delivered,
    Described,
    Given,
    Mapped,
    Seated,
    Stop,
    ToScript,
    encode,
    read_by_script,
    read_by_server,
)
from ._place import Ending, Place
from ._vigil import Vigil

#: Longest sleep of the loop, so that lines and the end of the process are noticed, in seconds.
_PULSE_S = 0.05
#: How long the server may take to hear of the end, in seconds.
_GRACE_S = 10.0


@dataclass(frozen=True)
class Errand:
    """What a relay is told when it starts.

    command: arguments of Python. folder: to start it in. server: where the wire leads.
    hung_after: see `Launch`.
    """

    worker: int
    incarnation: int
    command: tuple[str, ...]
    folder: str
    server: Address
    hung_after: float | None


class Relay:
    """The actor; Ray ends it when the server's process is gone, and with it the script's link.

    path: where the server's process finds modules.
    """

    def __init__(self, path: list[str]) -> None:
        sys.path += [place for place in path if place not in sys.path]

    def work(self, errand: Errand) -> None:
        """Its life: that of the script's process."""
        os.chdir(errand.folder)
        name = name_of(errand.worker, errand.incarnation)
        notice, wire = Notice(), Wire.connect(errand.server, name)
        wire.send(own_hello(own_node()))
        post = _Post(errand, wire, notice)
        try:
            with beating(errand.server, name):
                post.serve()
        finally:
            post.close()
            notice.end()


class _Post:
    def __init__(self, errand: Errand, wire: Wire, notice: Notice) -> None:
        self.wire, self.notice = wire, notice
        self.door = Door()
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.place = Place(errand.worker, errand.incarnation - 1)
        self.vigil = Vigil([self.place], after=errand.hung_after)
        self.connection: Connection | None = None
        self.described: Described | None = None
        self.dismissed = False
        environment = self.door.environment(errand.worker, errand.incarnation)
        self.place.spawn(errand.command, environment, lambda _, line: self.lines.put(line), None)

    def serve(self) -> None:
        """Until the process has ended, and the server knows."""
        ending = None
        while ending is None:
            self._pass_messages(_PULSE_S)
            if self.dismissed:
                self.place.end()
                self._print()
                return
            if self.notice.given:
                self.place.end()
                ending = Ending.of_code(-signal.SIGTERM)
            else:
                self.vigil.keep()
                ending = self.place.ended()
            self._print()
        self.wire.send(Exited(ending.code, ending.words))
        while poll([self.wire], _GRACE_S):
            letter = self.wire.receive()
            if letter is not None and isinstance(letter.message, Dismissed):
                return

    def close(self) -> None:
        """No process outlives its relay."""
        self.place.end()
        self.door.close()
        self.wire.close()

    def _print(self) -> None:
        lines = []
        while not self.lines.empty():
            lines.append(self.lines.get())
        if lines:
            self.wire.send(Printed(tuple(lines)))

    def _pass_messages(self, seconds: float) -> None:
        files = [] if self.connection is None else [self.connection.fileno()]
        poll([self.wire], seconds, files)
        while (letter := self.wire.receive()) is not None:
            if isinstance(letter.message, Relayed):
                self._to_script(read_by_script(letter.message.content), letter)
            elif isinstance(letter.message, Dismissed):
                self.dismissed = True
        while self.connection is not None and self.connection.poll():
            try:
                self._to_server(receive(self.connection))
            except (EOFError, OSError, Unreadable):
                self.connection.close()
                self.connection = None
        if self.connection is None:
            self.connection = self.door.newcomer()

    def _to_server(self, content: bytes) -> None:
        message = read_by_server(content)
        tensors = []
        match message:
            case Described():
                self.described = message
                state = self.door.state(self.place.number, self.place.incarnation)
                tensors = [torch.frombuffer(bytearray(state.read_bytes()), dtype=torch.uint8)]
                state.unlink()
            case Begun():
                self._memory_path().unlink(missing_ok=True)
            case Delivered():
                assert self.place.memory is not None
                tensors = [*self.place.memory.pushed_parts]
        self.wire.send(Relayed(content), *tensors)

    def _memory_path(self) -> Path:
        return self.door.memory(self.place.number, self.place.incarnation)

    def _to_script(self, message: ToScript, letter: Letter) -> None:
        match message:
            case Seated():
                state = self.door.state(self.place.number, self.place.incarnation)
                message = msgspec.structs.replace(message, state=str(state))
            case Mapped():
                assert self.described is not None
                self.place.memory = Memory.described(self._memory_path(), self.described)
                self.place.memory.take(
                    letter, *self.place.memory.trained_parts, *self.place.memory.point_parts
                )
                message = Mapped(str(self._memory_path()))
            case Compute():
                assert self.place.memory is not None
                self.place.memory.take(letter, *self.place.memory.point_parts)
            case Given() | Stop():
                if self.place.memory is not None:
                    self.place.memory.take(letter, *self.place.memory.trained_parts)
        if self.connection is None:
            return  # it has just died, which its end will report
        try:
            self.connection.send_bytes(encode(message))
        except OSError:
            return
