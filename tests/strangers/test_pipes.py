"""The pipes of the local runtime: a worker that speaks nonsense is one that is gone."""

import os
import select
import struct
from multiprocessing import Pipe

import pytest
import torch

import small_tasks
from lagrad.runtimes.local._seat import Seat
from lagrad.runtimes.local._worker import Computed, Job, Slot, Stop, encode
from lagrad.runtimes.wire import _bounded


@pytest.fixture
def seat(monkeypatch):
    """A seat, and the worker's end of its pipe."""
    monkeypatch.setattr(_bounded, "_TIMEOUT_S", 1)
    ours, theirs = Pipe()
    slot = Slot.allocate(torch.zeros(3), torch.zeros(0, dtype=torch.float64))
    job = Job(small_tasks.make(), seed=0, delays=None, seconds_per_job=None)
    found = Seat(0, slot, job)
    found.connection = _bounded.bounded(ours)
    yield found, theirs
    ours.close()
    theirs.close()


GARBLED = b"\x82\xa4type\xa6failed\xa9traceback\xa1\xff"
NOISE = {
    "no message": struct.pack("!i", 3) + b"\xc1ab",
    "text that is none": struct.pack("!i", len(GARBLED)) + GARBLED,
    "half a message": struct.pack("!i", 1000) + b"half",
    "a message too long": struct.pack("!iQ", -1, 2**62) + b"x" * 100,
    "a length below 0": struct.pack("!i", -5),
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_noise_is_the_end_of_a_worker(seat, noise):
    ours, theirs = seat
    os.write(theirs.fileno(), noise)
    assert ours.receive() is None
    assert ours.hung_up


def test_a_message_is_read(seat):
    ours, theirs = seat
    theirs.send_bytes(encode(Computed(0, 1, 2, 0.5, True)))
    assert ours.receive() == Computed(0, 1, 2, 0.5, True)
    assert not ours.hung_up


def test_a_worker_that_does_not_read_does_not_stop_the_server(seat):
    ours, _ = seat
    sent = 0
    while sent < 10**6 and not blocked(ours):
        ours.send(Stop())
        sent += 1
    ours.send(Stop())  # returns, though nobody ever reads
    assert sent < 10**6


def blocked(seat):
    return not select.select([], [seat.connection], [], 0)[1]
