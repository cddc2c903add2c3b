"""What travels between processes of a Ray run: small msgpack messages and raw tensors.

Sockets are ZeroMQ's, over TCP, encrypted and authenticated by CURVE with keys made for the run;
the keys travel through Ray. A frame larger than the largest that can be meant is refused before
memory is taken for it, and its sender is disconnected. Queues are bounded.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import Tensor

from lagrad.core import Lease

if TYPE_CHECKING:
    import zmq

#: Messages that may wait for a peer; the conversation itself never has more than a few under way.
_WAITING = 64
#: Of a message beyond its tensors.
_HEADER_BYTES = 1 << 16


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The model and the data are there. node: of Ray."""

    pid: int
    node: str


class Compute(msgspec.Struct, frozen=True, tag="compute"):
    """Differentiate on these samples at the point of this version.

    row: of the shared memory where the point lies; None: it travels.
    """

    version: int
    lease: Lease
    row: int | None


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End."""


class Computed(msgspec.Struct, frozen=True, tag="computed"):
    """A gradient has been computed, and lies in shared memory or travels along."""

    sequence: int
    version: int
    lease: int
    loss: float | None  # None: not finite


Message = Hello | Compute | Stop | Computed

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder[Message](Message)


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
    """A message that has come, with its tensors' frames, from a peer (empty at a connector)."""

    peer: bytes
    message: Message
    frames: Sequence[Any]

    def tensor(self, index: int, dtype: torch.dtype, numel: int) -> Tensor:
        """The tensor of a frame, in the frame's memory. Raises: ValueError for another size."""
        frame = self.frames[index]
        if len(frame) != numel * dtype.itemsize:
            raise ValueError(
                f"Expected {numel} values of {dtype} in a frame, got {len(frame)} bytes; "
                "all processes of a run need the same model."
            )
        return torch.frombuffer(frame.buffer, dtype=dtype)


class Wire:
    """One socket: a listener that many connect to, or a connector to one listener."""

    def __init__(self, socket: "zmq.Socket[bytes]", largest: int) -> None:
        import zmq

        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, _WAITING)
        socket.setsockopt(zmq.RCVHWM, _WAITING)
        socket.setsockopt(zmq.MAXMSGSIZE, largest + _HEADER_BYTES)
        # A host that vanishes without a word is noticed.
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
        self.socket = socket
        self._auth: Any = None
        self._listens = socket.socket_type == zmq.ROUTER

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

    def send(self, message: Message, *tensors: Tensor, peer: bytes = b"") -> None:
        """Send tensors without a copy: they stay as they are until they have been answered.

        What is sent to a peer that has just vanished is lost, as the peer is.
        """
        import zmq

        parts: list[Any] = [peer] if self._listens else []
        parts.append(_encode(message))
        parts += [tensor.view(torch.uint8).numpy() for tensor in tensors]
        try:
            self.socket.send_multipart(parts, zmq.NOBLOCK if self._listens else 0, copy=False)
        except zmq.ZMQError as error:
            if error.errno not in {zmq.EHOSTUNREACH, zmq.EAGAIN}:
                raise

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
                return Letter(peer, _decoder.decode(frames[0].buffer), frames[1:])
            except (msgspec.DecodeError, IndexError):
                continue  # nobody of this run says that

    def poll(self, timeout_s: float) -> bool:
        """Wait until something has come, at most so long."""
        return bool(self.socket.poll(int(1000 * timeout_s)))

    def close(self) -> None:
        """Say no more."""
        self.socket.close()
        if self._auth is not None:
            context = self._auth.context
            self._auth.stop()
            context.term()


class _OfThisRun:
    """Lets in whoever has the run's key."""

    def __init__(self, keys: Keys) -> None:
        self._public = keys.connector_public

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a key, 40 characters of Z85, is the run's."""
        del domain
        return key == self._public


def name_of(worker: int, incarnation: int) -> bytes:
    """How a worker is known to listeners.

    >>> name_of(3, 1)
    b'3.1'
    """
    return b"%d.%d" % (worker, incarnation)


def own_hello(node: str) -> Hello:
    """Of this process."""
    return Hello(os.getpid(), node)
