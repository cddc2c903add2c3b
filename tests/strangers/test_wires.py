"""The sockets between hosts: who lacks the run's key is not heard, and takes no memory."""

import os
import resource
import socket
import struct
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

zmq = pytest.importorskip("zmq")

from lagrad.runtimes.wire import _wire  # noqa: E402
from lagrad.runtimes.wire._messages import Hello, encode  # noqa: E402
from lagrad.runtimes.wire._wire import Address, Keys, Letter, Wire, poll  # noqa: E402

LARGEST = 4096
#: How long is listened for what must not come, in seconds.
SILENCE_S = 0.5
SOON_S = 20.0


@pytest.fixture
def listener():
    wire, address = Wire.listen("127.0.0.1", Keys.make(), LARGEST)
    yield wire, address
    wire.close()


def hear(wire, seconds=SOON_S):
    """The next letter, or None if there was none in time."""
    while poll([wire], seconds):
        if (letter := wire.receive()) is not None:
            return letter
        if seconds == SILENCE_S:
            return None
    return None


def raw(address, **options):
    """A socket of ZeroMQ with these options and nothing else."""
    found = zmq.Context.instance().socket(zmq.DEALER)
    found.setsockopt(zmq.LINGER, 0)
    for name, value in options.items():
        found.setsockopt(getattr(zmq, name.upper()), value)
    found.connect(address.url)
    return found


def test_who_has_the_key_is_heard(listener):
    wire, address = listener
    friend = Wire.connect(address, b"1.0")
    friend.send(Hello(1, "node"))
    assert hear(wire).message == Hello(1, "node")
    friend.close()


def own_keys(address):
    public, secret = zmq.curve_keypair()
    return {
        "curve_serverkey": address.keys.listener_public,
        "curve_publickey": public,
        "curve_secretkey": secret,
    }


STRANGERS = {
    "in the clear": lambda address: {},
    "with keys of its own": own_keys,
    "with a password": lambda address: {"plain_username": b"u", "plain_password": b"p"},
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_stranger_is_not_heard(listener, kind):
    wire, address = listener
    stranger = raw(address, **STRANGERS[kind](address))
    stranger.send_multipart([encode(Hello(1, "node"))])
    assert hear(wire, SILENCE_S) is None
    stranger.close()


def test_the_public_key_alone_opens_nothing(listener):
    wire, address = listener
    _, secret = zmq.curve_keypair()
    keys = own_keys(address) | {"curve_publickey": address.keys.connector_public}
    try:
        stranger = raw(address, **keys | {"curve_secretkey": secret})
    except zmq.ZMQError:
        return  # ZeroMQ sees that the two are no pair
    stranger.send_multipart([encode(Hello(1, "node"))])
    assert hear(wire, SILENCE_S) is None
    stranger.close()


def test_an_address_says_nothing_of_the_listeners_secret(listener):
    _, address = listener
    assert address.keys.listener_secret == b""
    assert "secret" not in repr(address)


def test_keys_are_made_for_the_run():
    one, two = Keys.make(), Keys.make()
    kinds = ("listener_public", "listener_secret", "connector_public", "connector_secret")
    assert len({getattr(keys, kind) for keys in (one, two) for kind in kinds}) == 8


class Tap:
    """A cable between a connector and a listener, which keeps what the first one says."""

    def __init__(self, address):
        self.heard = []
        self._target = address.url.removeprefix("tcp://").rsplit(":", 1)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._door.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self):
        near, _ = self._door.accept()
        far = socket.create_connection(self._target)
        back = threading.Thread(target=self._copy, args=(far, near, None), daemon=True)
        back.start()
        self._copy(near, far, self.heard)
        back.join()

    def _copy(self, one, other, kept):
        with one, other:
            try:
                while content := one.recv(65536):
                    if kept is not None:
                        kept.append(content)
                    other.sendall(content)
            except OSError:
                pass

    def close(self):
        self._door.close()


def test_what_was_recorded_on_the_cable_is_not_heard_again(listener):
    wire, address = listener
    tap = Tap(address)
    friend = Wire.connect(Address(tap.url, address.keys, LARGEST), b"1.0")
    friend.send(Hello(1, "a word that can be found"))
    assert hear(wire) is not None
    friend.close()
    tap.close()
    content = b"".join(tap.heard)
    assert b"a word that can be found" not in content, "it was encrypted"
    host, port = address.url.removeprefix("tcp://").rsplit(":", 1)
    with socket.create_connection((host, int(port))) as again:
        again.sendall(content)
        assert hear(wire, SILENCE_S) is None


def test_a_frame_that_is_too_long_ends_the_connection(listener):
    wire, address = listener
    friend = Wire.connect(address, b"1.0")
    friend.socket.send_multipart([encode(Hello(1, "node")), bytes(2 * _wire._FRAME_BYTES)])
    assert hear(wire, SILENCE_S) is None
    friend.close()


def test_a_tensor_that_is_too_long_is_left_out(listener):
    wire, address = listener
    friend = Wire.connect(address, b"1.0")
    friend.send(Hello(1, "node"), torch.zeros(LARGEST + 1, dtype=torch.uint8))
    friend.send(Hello(2, "node"), torch.zeros(LARGEST, dtype=torch.uint8))
    assert hear(wire).message == Hello(2, "node")
    friend.close()


FRAME = _wire._FRAME_BYTES


@pytest.mark.parametrize(
    "sizes", [(), (0,), (5, 7), (FRAME,), (FRAME - 1, 3 * FRAME, 2 * FRAME + 9)]
)
def test_what_is_long_comes_together_again(sizes):
    wire, address = Wire.listen("127.0.0.1", Keys.make(), 4 * FRAME)
    friend = Wire.connect(address, b"1.0")
    sent = [torch.randint(0, 256, (size,), dtype=torch.uint8) for size in sizes]
    name = "n" * (FRAME + 100)  # a long message, too
    friend.send(Hello(1, name), *sent)
    letter = hear(wire)
    assert letter.message == Hello(1, name)
    assert [len(tensor) for tensor in letter.tensors] == list(sizes)
    for index, tensor in enumerate(sent):
        assert torch.equal(letter.tensor(index, torch.uint8, tensor.numel()), tensor)
    friend.close()
    wire.close()


def test_a_stranger_takes_no_more_memory_than_a_frame(listener):
    """ZeroMQ reads a frame before it knows whom it is from; nothing longer begins."""
    wire, address = listener
    host, port = address.url.removeprefix("tcp://").rsplit(":", 1)
    before = Path("/proc/self/statm").read_text().split()[1]
    with socket.create_connection((host, int(port))) as stranger:
        stranger.sendall(GREETING + b"\x06" + struct.pack("!Q", 64 << 20))
        with pytest.raises(ConnectionError):
            pour(stranger, 64)
    grown = int(Path("/proc/self/statm").read_text().split()[1]) - int(before)
    assert grown * resource.getpagesize() < 16 << 20
    assert hear(wire, SILENCE_S) is None


def pour(stranger, megabytes):
    for _ in range(megabytes):
        stranger.sendall(bytes(1 << 20))


GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + b"\0" * 32


def test_an_announced_frame_takes_no_memory(listener):
    wire, address = listener
    host, port = address.url.removeprefix("tcp://").rsplit(":", 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ExitStack() as strangers:
        for _ in range(50):
            stranger = strangers.enter_context(socket.create_connection((host, int(port))))
            # A long command frame: flags 0x06, then its size in 64 bits.
            stranger.sendall(GREETING + b"\x06" + struct.pack("!Q", 2**40) + os.urandom(512))
        friend = Wire.connect(address, b"1.0")
        friend.send(Hello(1, "node"))
        assert hear(wire) is not None, "the listener goes on"
        friend.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_messages_that_are_none_are_left_out(listener):
    wire, address = listener
    friend = Wire.connect(address, b"1.0")
    for noise in (b"", b"\xc1", b"\x91" * 10_000, b"\x82\xa4type\xa5hello\xa4node\xa1\xff"):
        friend.socket.send_multipart([noise])
    friend.send(Hello(1, "node"))
    assert hear(wire).message == Hello(1, "node")
    friend.close()


def test_a_letter_without_its_tensor_says_so():
    letter = Letter(b"", Hello(1, "node"), [])
    for index in (0, -1):
        with pytest.raises(ValueError, match=r"Expected 4 values.*; all processes"):
            letter.tensor(index, torch.float32, 4)
