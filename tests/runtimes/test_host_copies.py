"""Workers of one host share its copies of points: whatever comes late, nobody reads another one."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lagrad.runtimes.ray._host_copies import HostCopies

WORKERS, LONG = 3, 1e6


class Host:
    """A host's memories, and its workers: they write, tell and read in any order they like."""

    def __init__(self, *, losses_are_told=True):
        self.losses_are_told = losses_are_told
        self.copies = HostCopies(WORKERS, nbytes=0)
        self.paths = itertools.count(1)
        self.rows = {}  # of (path, row): the version that was written last
        self.lives = [0] * WORKERS
        self.version = 0
        self.now = 0.0
        self.orders = {}  # of a worker: the version that it was given and has not pushed
        self.boxes = [[] for _ in range(WORKERS)]  # parcels that have not been opened
        self.undead = []  # parcels of those that were thought dead
        self.told = []  # news that have not been heard
        self.reads = {}  # of a worker: where it reads, None for a copy of its own
        self.travelled = 0

    def deliver(self, parcels):
        for parcel in parcels:
            self.travelled += parcel.travels
            worker, life, _ = parcel.order
            if self.lives[worker] == life:
                self.boxes[worker].append(parcel)
            else:
                assert not self.losses_are_told, "nobody is sent what was for one who is gone"

    def give(self, worker):
        if worker in self.orders:
            return
        self.orders[worker] = self.version
        order = (worker, self.lives[worker], self.version)
        self.deliver(self.copies.give(*order, order, now=self.now))

    def open(self, worker):
        """Read what was sent."""
        if not self.boxes[worker]:
            return
        parcel = self.boxes[worker].pop(0)
        spot, place = parcel.spot, self.write(parcel)
        if spot is not None and spot.brings:
            self.told.append((spot.epoch, parcel.order[2], place[0]))
        self.reads[worker] = place
        self.look()

    def write(self, parcel):
        """Where the point lies after this."""
        spot = parcel.spot
        if spot is None:
            return None
        path = spot.path or f"memory {next(self.paths)}"
        if spot.brings:
            self.rows[path, spot.row] = parcel.order[2]
        return path, spot.row

    def haunt(self, _):
        """A process that was thought dead does what it was told."""
        if self.undead:
            self.write(self.undead.pop())

    def look(self):
        for worker, place in self.reads.items():
            assert place is None or self.rows[place] == self.orders[worker], "another version"

    def hear(self):
        if self.told:
            self.deliver(self.copies.brought(*self.told.pop(0)))

    def push(self, worker):
        if worker in self.reads:
            del self.reads[worker], self.orders[worker]
            self.told, heard = [], self.told  # what it said before comes before
            for news in heard:
                self.deliver(self.copies.brought(*news))
            self.copies.release(worker)

    def lose(self, worker):
        self.lives[worker] += 1
        self.undead += self.boxes[worker]
        self.boxes[worker] = []
        self.orders.pop(worker, None)
        self.reads.pop(worker, None)
        if self.losses_are_told:
            self.deliver(self.copies.lost(worker))

    def step(self, _):
        self.version += 1

    def miss(self, worker):
        """It does not find the memory, whose maker is gone."""
        parcel = self.boxes[worker][0] if self.boxes[worker] else None
        if parcel is None or parcel.travels:
            return
        self.boxes[worker].pop(0)
        self.deliver(self.copies.renew())
        self.orders.pop(worker)
        self.give(worker)

    def wait(self, _):
        self.now += LONG
        self.deliver(self.copies.overdue(self.now))
        assert not self.copies.awaited


MOVES = {
    "give": Host.give,
    "open": Host.open,
    "push": Host.push,
    "lose": Host.lose,
    "haunt": Host.haunt,
    "miss": Host.miss,
    "step": Host.step,
    "hear": lambda host, _: host.hear(),
    "wait": Host.wait,
}


@given(
    st.lists(
        st.tuples(st.sampled_from([*MOVES, "give", "open", "push"]), st.integers(0, WORKERS - 1)),
        max_size=80,
    ),
    st.booleans(),
)
@settings(max_examples=300)
def test_whoever_computes_reads_its_version_until_it_has_pushed(moves, losses_are_told):
    host = Host(losses_are_told=losses_are_told)
    for name, worker in moves:
        MOVES[name](host, worker)
        host.look()
    # In the end everybody gets what it was given.
    host.wait(0)
    for worker in range(WORKERS):
        while host.boxes[worker]:
            host.open(worker)
    assert host.reads.keys() == host.orders.keys()


@pytest.mark.parametrize("losses_are_told", [True, False])
def test_one_that_was_thought_dead_writes_where_nobody_reads(losses_are_told):
    host = Host(losses_are_told=losses_are_told)
    for worker in (0, 1):
        host.give(worker)
        host.open(worker)
        host.hear()
        host.push(worker)
        host.step(0)
    host.give(0)
    host.lose(0)
    for worker in (1, 0):
        host.step(0)
        host.give(worker)
        host.open(worker)
    host.haunt(0)
    host.look()


def test_a_version_crosses_the_wire_once():
    host = Host()
    for _ in range(10):
        for worker in range(WORKERS):
            host.give(worker)
        for _ in range(2):
            for worker in range(WORKERS):
                host.open(worker)
            host.hear()
        for worker in range(WORKERS):
            host.open(worker)
            host.push(worker)
        host.step(0)
    assert host.travelled == 10


def test_who_comes_later_finds_what_is_there():
    host = Host()
    host.give(0)
    host.open(0)
    host.hear()
    for worker in (1, 2):
        host.give(worker)
        host.open(worker)
    assert host.travelled == 1


def test_the_newest_version_stays_for_who_asks_again():
    host = Host()
    for _ in range(3):
        host.give(0)
        host.open(0)
        host.push(0)
    assert host.travelled == 1


def test_nobody_waits_long_for_a_worker_that_stands_still():
    host = Host()
    for worker in range(WORKERS):
        host.give(worker)
    assert host.copies.awaited
    host.wait(0)
    assert host.travelled == WORKERS
    for worker in range(WORKERS):
        host.open(worker)
    host.look()
