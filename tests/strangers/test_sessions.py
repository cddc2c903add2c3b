"""The socket of `lagrad run`: strangers, half messages, messages at the wrong time or twice."""

import os
import random
import socket
import stat
import struct
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Pipe

import msgspec
import pytest
from safetensors.torch import save_file

import fuzzed_decoders as fuzzed
from lagrad.core import Lease, Unreadable
from lagrad.runtimes.wire import _bounded
from lagrad.sessions import Launch, _company, _messages
from lagrad.sessions._groups import Group
from lagrad.sessions._handshake import recognise
from lagrad.sessions._messages import (
    Asked,
    Begun,
    Delivered,
    Described,
    Hello,
    Logged,
    Scored,
    encode,
    read_by_script,
)

SOON_S = 20.0


class Alive:
    """A process that neither ends nor does anything."""

    pid = 2**30

    def poll(self):
        return None

    def wait(self, timeout=None):
        return 0


@pytest.fixture
def company(tmp_path, monkeypatch):
    """A server of two places whose processes are we."""
    monkeypatch.setattr(os, "killpg", lambda pid, number: None)
    monkeypatch.setattr(_company, "_PULSE_S", 0.001)
    (tmp_path / "train.py").touch()
    terms = Launch(script=tmp_path / "train.py", workers=2)
    found = _company.Company(terms, lambda worker, line: None, None)
    for place in found.places:
        place.process, place.incarnation = Alive(), 0
    yield found
    found.disband()


def until(condition, company):
    """Let the server work until something holds."""
    end = time.monotonic() + SOON_S
    while not condition():
        company._pass_messages()
        assert time.monotonic() < end, "it never came to hold"


def join(company, worker):
    connection = Client(str(company.door.folder / "server"), "AF_UNIX")
    recognise(connection, company.door.key, side="script")
    connection.send_bytes(encode(Hello(worker, 0)))
    until(lambda: company.places[worker].connection is not None, company)
    return connection


def pair(key, other):
    """What became of two sides with these keys."""
    ours, theirs = Pipe()
    found = {}

    def meet(side, connection, key):
        try:
            recognise(_bounded.bounded(connection), key, side=side)
            found[side] = True
        except (AuthenticationError, EOFError, OSError):
            found[side] = False
        finally:
            connection.close()

    threads = [
        threading.Thread(target=meet, args=("server", ours, key)),
        threading.Thread(target=meet, args=("script", theirs, other)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_those_with_the_runs_key_know_each_other():
    assert pair(b"k" * 32, b"k" * 32) == {"server": True, "script": True}


def test_another_key_is_a_strangers():
    assert pair(b"k" * 32, b"K" * 32) == {"server": False, "script": False}


def test_ones_own_proof_sent_back_is_none():
    ours, theirs = Pipe()

    def echo():
        try:
            while True:
                theirs.send_bytes(theirs.recv_bytes())
        except (EOFError, OSError):
            pass

    thread = threading.Thread(target=echo)
    thread.start()
    with pytest.raises(AuthenticationError):
        recognise(ours, b"k" * 32, side="server")
    ours.close()
    thread.join()
    theirs.close()


def test_a_recorded_handshake_opens_nothing(company):
    heard = []

    class Tapped(Connection):
        def send_bytes(self, *parts):
            heard.append(parts[0])
            super().send_bytes(*parts)

    first = Client(str(company.door.folder / "server"), "AF_UNIX")
    tapped = Tapped(os.dup(first.fileno()))
    recognise(tapped, company.door.key, side="script")
    replayed = Client(str(company.door.folder / "server"), "AF_UNIX")
    for message in heard:
        replayed.send_bytes(message)
    with pytest.raises((EOFError, ConnectionError)):
        listen(replayed)  # to random bytes and a proof, of which the recorded ones know nothing
    assert company.door._newcomers.qsize() == 1
    for connection in (first, tapped, replayed):
        connection.close()


def test_only_we_can_reach_the_socket_and_the_memory(company):
    connection = join(company, 0)
    describe(company, connection, 0)
    assert stat.S_IMODE(company.door.folder.stat().st_mode) == 0o700
    assert stat.S_ISSOCK((company.door.folder / "server").stat().st_mode)
    (memory,) = company.door.folder.glob("memory-*")
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    connection.close()


def listen(connection):
    while True:
        connection.recv_bytes()


def hung_up(connection):
    """Whether the other side has; takes in what it said before."""
    try:
        while connection.poll():
            connection.recv_bytes()
    except (EOFError, ConnectionError):
        return True
    return False


def describe(company, connection, worker):
    save_file(fuzzed.STATE, company.door.state(worker, 0))
    connection.send_bytes(encode(fuzzed.DESCRIBED))
    until(lambda: company.places[worker].memory is not None, company)


def header(size):
    return struct.pack("!i", size) if size < 2**31 else struct.pack("!iQ", -1, size)


@pytest.mark.parametrize("size", [_bounded.LARGEST + 1, 2**62], ids=["a byte more", "2^62"])
def test_a_message_that_is_too_long_is_refused_before_memory_is_taken(company, size):
    connection = join(company, 0)
    os.write(connection.fileno(), header(size) + b"x" * 100)
    until(lambda: company.places[0].connection is None, company)
    connection.close()


def test_half_a_message_holds_nobody_up(company, monkeypatch):
    monkeypatch.setattr(_bounded, "_TIMEOUT_S", 1)
    connection = join(company, 0)
    os.write(connection.fileno(), header(1000) + b"half")
    until(lambda: company.places[0].connection is None, company)
    connection.close()


def test_who_connects_and_says_nothing_holds_nobody_up(company, monkeypatch):
    monkeypatch.setattr(_bounded, "_TIMEOUT_S", 1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(company.door.folder / "server"))
        join(company, 0).close()


def test_noise_is_refused(company):
    connection = join(company, 0)
    connection.send_bytes(b"\xc1noise")
    until(lambda: company.places[0].connection is None, company)
    connection.close()


def test_nobody_sits_down_twice(company):
    first = join(company, 0)
    second = Client(str(company.door.folder / "server"), "AF_UNIX")
    recognise(second, company.door.key, side="script")
    kept = company.places[0].connection
    second.send_bytes(encode(Hello(0, 0)))
    until(lambda: hung_up(second), company)
    assert company.places[0].connection is kept
    first.close()
    second.close()


def messages(draw):
    """What a script could say, in any order."""
    return draw.choice(
        [
            Hello(draw.randrange(4), draw.randrange(2)),
            fuzzed.DESCRIBED,
            Begun(draw.choice([None, 50]), 8, 1, draw.random() < 0.5),
            Delivered(draw.randrange(3), draw.randrange(3), draw.randrange(3), 0.5, (1.0,)),
            Delivered(2**63, 2**63, 2**63, None, (float("nan"),)),
            Asked(),
            Scored({"loss": 0.5}),
            Scored({}),
            Logged({"x": None}),
        ]
    )


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_script_says_the_server_goes_on(company, seed):
    draw = random.Random(seed)
    connections = {0: join(company, 0), 1: join(company, 1)}
    for worker, connection in connections.items():
        if draw.random() < 0.7:
            describe(company, connection, worker)
    for _ in range(40):
        worker = draw.randrange(2)
        place = company.places[worker]
        if place.connection is None:
            connections[worker].close()
            place.incarnation, place.process = 0, Alive()
            connections[worker] = join(company, worker)
        save_file(fuzzed.STATE, company.door.state(worker, 0))
        content = encode(messages(draw))
        if draw.random() < 0.2:
            content = fuzzed.mutate(content, draw)
        try:
            connections[worker].send_bytes(content)
        except OSError:
            continue
        for _ in range(3):
            company._pass_messages()
        while connections[worker].poll():
            try:
                read_by_script(connections[worker].recv_bytes())
            except (EOFError, OSError):
                break
    if company.training is not None:
        company.training.run.server.check()
    for connection in connections.values():
        connection.close()


def test_a_push_that_is_sent_again_is_applied_once(company):
    connections = [join(company, worker) for worker in range(2)]
    for worker, connection in enumerate(connections):
        describe(company, connection, worker)
        connection.send_bytes(encode(Begun(50, 8, 1, False)))
    until(lambda: all(place.begun for place in company.places), company)
    sent = company.training.run.server.ledger.members[0].lease
    assert isinstance(sent, Lease)
    content = encode(Delivered(0, 0, sent.number, 0.5, (1.0,)))
    for _ in range(3):
        connections[0].send_bytes(content)
    until(lambda: sum(company.training.run.server.verdicts.values()) == 3, company)
    assert company.training.run.server.verdicts["applied"] == 1
    assert company.training.run.server.verdicts["duplicate"] == 2
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("change", ["names", "groups", "counters", "homes"])
def test_a_description_that_fits_no_state_is_refused_in_words(company, change):
    changed = {
        "names": {"names": ("other",)},
        "groups": {"groups": (Group(6, {"speed": 0.5}),)},
        "counters": {"counters": (True,)},
        "homes": {"homes": {}},
    }[change]
    connection = join(company, 0)
    save_file(fuzzed.STATE, company.door.state(0, 0))
    fields = {name: getattr(fuzzed.DESCRIBED, name) for name in Described.__struct_fields__}
    connection.send_bytes(encode(Described(**{**fields, **changed})))
    until(lambda: company.why, company)
    assert "Expected" in company.why
    connection.close()


OTHERS = {
    "parameters": {"names": ("other",)},
    "shapes": {"shapes": ((3, 2),)},
    "dtype": {"dtype": "float64"},
    "buffers": {"buffer_shapes": ((3,), (1,))},
    "rule": {"rule": "sgd(lr=0.2)"},
    "groups": {"groups": (Group(6, {"lr": 0.25}),)},
    "frozen parameters (seed the script)": {"fixed": "others"},
}


@pytest.mark.parametrize(("what", "change"), OTHERS.items(), ids=OTHERS)
def test_a_description_of_another_model_than_the_first_is_refused_in_words(company, what, change):
    connections = [join(company, worker) for worker in range(2)]
    describe(company, connections[0], 0)
    save_file(fuzzed.STATE, company.door.state(1, 0))
    connections[1].send_bytes(encode(msgspec.structs.replace(fuzzed.DESCRIBED, **change)))
    until(lambda: company.why, company)
    assert company.why.startswith(f"Worker 1: Expected the same {what} in every process")
    for connection in connections:
        connection.close()


def test_numbers_below_their_range_are_no_message():
    for message in (
        Begun(0, 8, 1, False),
        Begun(50, 0, 1, False),
        Delivered(-1, 0, 0, None, (1.0,)),
    ):
        with pytest.raises(Unreadable):
            _messages.read_by_server(encode(message))
