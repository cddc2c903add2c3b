"""Sockets between processes of a Ray run: messages with raw tensors.

Sockets are ZeroMQ's, over TCP, encrypted and authenticated by CURVE with keys made for the run;
the keys travel through Ray. What is long travels in frames of a bounded length: ZeroMQ takes
memory for one frame before it knows whom it is from, and so for no more of a stranger's. A longer
frame is refused before memory is taken for it, and its sender is disconnected. Queues are bounded.
"""

import hmac
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lagrad.core import Unreadable

from ._compression import Compression, expand, size
from ._messages import Hello, Message, encode, read

if TYPE_CHECKING:
    import zmq

#: Messages that may wait for a peer; the conversation itself never has more than a few under way.
_WAITING = 1000
#: The operating system counts the milliseconds of a poll in 31 bits.
_LONGEST_POLL_S = 2.0e6
#: Of a frame at most; a shorter one ends a message or a tensor.
_FRAME_BYTES = 1 << 18
#: What encryption adds to a frame, and more.
_ADDED_BYTES = 1 << 10
#: Of a message without its tensors; the names of a model with a million layers fit.
_LONGEST_MESSAGE = 1 << 24
#: How long a stranger may take to show that it has the key, in milliseconds.
_HANDSHAKE_MS = 10_000


@dataclass(frozen=True)
class Keys:
    """The two CURVE key pairs of a run: of those who listen, and of those who connect."""

    listener_public: bytes
    connector_public: bytes
    connector_secret: bytes = field(repr=False)
    listener_secret: bytes = field(repr=False)

    @classmethod
    def make(cls) -> "Keys":
        """New ones."""
        import zmq

        (public, secret), (own_public, own_secret) = zmq.curve_keypair(), zmq.curve_keypair()
        return cls(public, own_public, own_secret, secret)


@dataclass(frozen=True)
class Address:
    """Where somebody listens, and the largest tensor that is meant for its peers, in bytes."""

    url: str
    keys: Keys
    largest: int


@dataclass(frozen=True)
class Letter:
    """A message that has come, with its tensors' bytes, from a peer (empty at a connector)."""

    peer: bytes
    message: Message
    tensors: Sequence[memoryview]

    def tensor(self, index: int, dtype: torch.dtype, numel: int) -> Tensor:
        """A tensor in the memory in which it came. Raises: ValueError for another size."""
        sizes = [len(tensor) for tensor in self.tensors[index : index + 1 or None]]
        if sizes != [numel * dtype.itemsize]:
            raise ValueError(
                f"Expected {numel} values of {dtype} in a letter, got {sizes} bytes; "
                "all processes of a run need the same model."
            )
        if not numel:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(self.tensors[index], dtype=dtype)

    def gradient(self, how: Compression | None, like: Tensor) -> Tensor:
        """The last tensor as a gradient like `like`, which may have travelled compressed."""
        if how is None:
            return self.tensor(-1, like.dtype, like.numel())
        sent = self.tensor(-1, torch.uint8, size(how, like.numel()))
        return expand(how, sent, like.numel()).to(like.dtype)


class Wire:
    """One socket: a listener that many connect to, or a connector to one listener."""

    def __init__(self, socket: "zmq.Socket[bytes]", largest: int) -> None:
        import zmq

        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, _WAITING)
        socket.setsockopt(zmq.RCVHWM, _WAITING)
        socket.setsockopt(zmq.MAXMSGSIZE, _FRAME_BYTES + _ADDED_BYTES)
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        # A host that vanishes without a word is noticed.
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
        self.socket = socket
        self._largest = largest
        self._auth: Any = None
        self._listens = socket.type == zmq.ROUTER

    @classmethod
    def listen(cls, host: str, keys: Keys, largest: int) -> tuple["Wire", Address]:
        """A new socket on a free port of this host's address."""
        import zmq
        from zmq.auth.thread import ThreadAuthenticator

        context = zmq.Context()
        auth = ThreadAuthenticator(context)
        auth.start()
        auth.configure_curve_callback(domain="*", credentials_provider=_OfThisRun(keys))
        wire = cls(context.socket(zmq.ROUTER), largest)
        wire._auth = auth
        wire.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        wire.socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        wire.socket.setsockopt(zmq.CURVE_SERVER, 1)
        wire.socket.setsockopt(zmq.CURVE_SECRETKEY, keys.listener_secret)
        port = wire.socket.bind_to_random_port(f"tcp://{host}")
        public = Keys(keys.listener_public, keys.connector_public, keys.connector_secret, b"")
        return wire, Address(f"tcp://{host}:{port}", public, largest)

    @classmethod
    def connect(cls, address: Address, name: bytes) -> "Wire":
        """A new socket, known to the listener by a name."""
        import zmq

        wire = cls(zmq.Context.instance().socket(zmq.DEALER), address.largest)
        wire.socket.setsockopt(zmq.IDENTITY, name)
        wire.socket.setsockopt(zmq.CURVE_SERVERKEY, address.keys.listener_public)
        wire.socket.setsockopt(zmq.CURVE_PUBLICKEY, address.keys.connector_public)
        wire.socket.setsockopt(zmq.CURVE_SECRETKEY, address.keys.connector_secret)
        wire.socket.connect(address.url)
        return wire

    def send(
        self, message: Message, *tensors: Tensor, peer: bytes = b"", waits: bool = True
    ) -> bool:
        """Send tensors without a copy: they stay as they are until they have been answered.

        waits: for room, where too much waits to be sent; a listener never does.
        Returns: False where there is none, or the listener knows no such peer: it is gone, or not
        there yet.
        """
        import zmq

        parts: list[Any] = [peer] if self._listens else []
        parts += _framed(memoryview(encode(message)))
        for tensor in tensors:
            parts += _framed(tensor.view(torch.uint8).numpy().data)
        try:
            how = 0 if waits and not self._listens else zmq.NOBLOCK
            self.socket.send_multipart(parts, how, copy=False)
        except zmq.ZMQError as error:
            if error.errno not in {zmq.EHOSTUNREACH, zmq.EAGAIN}:
                raise
            return False
        return True

    def receive(self) -> Letter | None:
        """The next message that is one, or None if none has come."""
        import zmq

        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return None
            peer = frames.pop(0).bytes if self._listens else b""
            try:
                content, *tensors = _joined([frame.buffer for frame in frames], self._largest)
                return Letter(peer, read(content), tensors)
            except ValueError:
                continue  # nobody of this run says that

    @property
    def closed(self) -> bool:
        """Whether it has been closed here."""
        return self.socket.closed

    def close(self) -> None:
        """Say no more."""
        self.socket.close()
        if self._auth is not None:
            context = self._auth.context
            self._auth.stop()
            context.term()


def _framed(content: memoryview) -> list[memoryview]:
    """The content in frames, of which the last is shorter than all before it.

    >>> [len(frame) for frame in _framed(memoryview(bytes(2 * _FRAME_BYTES)))]
    [262144, 262144, 0]
    """
    starts = range(0, len(content) + 1, _FRAME_BYTES)
    return [content[start : start + _FRAME_BYTES] for start in starts]


def _joined(frames: Sequence[memoryview], largest: int) -> list[memoryview]:
    """The contents whose frames these are: a message, and tensors of at most `largest` bytes.

    Raises: Unreadable for what nobody of this run sends.
    """
    found: list[memoryview] = []
    start = 0
    for end, frame in enumerate(frames, start=1):
        if len(frame) == _FRAME_BYTES:
            continue
        size = sum(map(len, frames[start:end]))
        if size > (largest if found else _LONGEST_MESSAGE):
            raise Unreadable(f"{size} bytes are too many")
        # One frame is taken as it is; several are copied together.
        whole = frame if end == start + 1 else memoryview(bytearray().join(frames[start:end]))
        found.append(whole)
        start = end
    if start < len(frames) or not found:
        raise Unreadable("the last frame is missing")
    return found


def poll(wires: Sequence[Wire], timeout_s: float, files: Sequence[int] = ()) -> bool:
    """Wait until something has come to one of them or can be read, at most so long."""
    import zmq

    poller = zmq.Poller()
    for wire in wires:
        poller.register(wire.socket, zmq.POLLIN)
    for file in files:
        poller.register(file, zmq.POLLIN)
    return bool(poller.poll(math.ceil(1000 * max(0.0, min(timeout_s, _LONGEST_POLL_S)))))


class _OfThisRun:
    """Lets in whoever has the run's key."""

    def __init__(self, keys: Keys) -> None:
        self._public = keys.connector_public

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a key, 40 characters of Z85, is the run's."""
        del domain
        return hmac.compare_digest(key, self._public)


def name_of(worker: int, incarnation: int) -> bytes:
    """How a worker is known to listeners.

    >>> name_of(3, 1)
    b'3.1'
    """
    return b"%d.%d" % (worker, incarnation)


def own_hello(node: str) -> Hello:
    """Of this process."""
    return Hello(os.getpid(), node)
