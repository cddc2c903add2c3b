"""A push that comes in parts is applied by all shards or by none, and enters the machine once."""

import math

import pytest
import torch

from lagrad.checkpoints import put_back, take
from lagrad.runtimes._memory import forget, share
from lagrad.runtimes.ray._host_memory import HostMemory
from lagrad.runtimes.ray._pushes import Pushes
from lagrad.runtimes.wire._messages import Brought, Computed, Key, Share, Spot

KEY, OTHER = Key(0, 0, 0), Key(1, 0, 0)
SHARDS = (7, 8)


def done(length=2.0):
    return Computed(0, 3, 5, 0.5, length)


def complete(pushes, key=KEY, **finite):
    pushes.computed(key, done(), None)
    for life in SHARDS:
        assert pushes.received(key, life, finite=True)
    return pushes.complete(SHARDS)


def test_it_is_complete_when_the_worker_and_every_shard_have_told_in_any_order():
    pushes = Pushes()
    pushes.received(KEY, 7, finite=True)
    pushes.computed(KEY, done(), None)
    assert pushes.complete(SHARDS) == []
    pushes.received(KEY, 8, finite=True)
    (push,) = pushes.complete(SHARDS)
    assert (push.worker, push.sequence, push.version, push.lease) == (0, 0, 3, 5)
    assert push.values.tolist() == [0.0, 2.0]
    assert pushes.complete(SHARDS) == []


def test_a_shard_that_is_gone_is_not_waited_for():
    pushes = Pushes()
    pushes.computed(KEY, done(), None)
    pushes.received(KEY, 7, finite=True)
    assert len(pushes.complete([7])) == 1


@pytest.mark.parametrize(("finite", "length"), [(False, 2.0), (True, None)])
def test_what_is_not_finite_anywhere_is_no_ticket(finite, length):
    pushes = Pushes()
    pushes.computed(KEY, done(length), None)
    pushes.received(KEY, 7, finite=True)
    pushes.received(KEY, 8, finite=finite)
    (push,) = pushes.complete(SHARDS)
    assert math.isnan(push.values[0])


def test_a_step_names_the_pushes_of_its_tickets_and_forgets_them():
    pushes = Pushes()
    complete(pushes)
    complete(pushes, OTHER)
    assert pushes.awaiting == {KEY, OTHER}
    apply = pushes.step((4, [(1, 2, 8, 2.0)]))
    assert (apply.version, apply.shares) == (4, (Share(OTHER, 2, 8, 2.0),))
    pushes.refused(KEY)
    assert pushes.awaiting == set()


def test_of_a_worker_that_is_gone_what_is_complete_counts_and_what_is_begun_does_not():
    pushes = Pushes()
    complete(pushes)
    begun = Key(0, 0, 1)
    pushes.received(begun, 7, finite=True)
    assert pushes.left(0, 0) == [begun]
    assert pushes.received(KEY, 8, finite=True), "it awaits its step"
    assert not pushes.received(begun, 8, finite=True), "the shard is to discard it"
    again = Key(0, 1, 0)
    assert len(complete(pushes, again)) == 1, "its next life is heard"


def test_a_checkpoint_keeps_what_awaits_its_step_and_gives_no_number_twice():
    pushes, fresh = Pushes(), Pushes()
    complete(pushes)
    pushes.received(OTHER, 7, finite=True)
    put_back(take(pushes), fresh)
    assert fresh.awaiting == {KEY}
    fresh.left(1, 0)
    (push,) = complete(fresh, Key(1, 1, 0))
    assert push.values[0] == 1.0
    assert fresh.step((0, [(0, 0, 8, 2.0)])).shares[0].key == KEY


class TestAHostsMemory:
    LIKE = torch.zeros(100)

    def test_one_writes_and_others_find_it(self):
        one, other = (HostMemory("node", self.LIKE) for _ in range(2))
        values = torch.arange(100.0)
        written, told = one.write(Spot(0, "", 3, 2, True), 5, values)
        assert isinstance(told, Brought)
        found = other.read(Spot(0, told.path, 3, 2, False))
        assert torch.equal(found, values)
        written[0] = 7.0
        assert found[0] == 7.0, "they share it"
        written, _ = other.write(Spot(0, told.path, 3, 0, True), 6, values + 1)
        assert torch.equal(one.read(Spot(0, told.path, 3, 0, False)), written)

    def test_where_the_memory_is_gone_nothing_is_found_and_what_came_is_used(self):
        place, _ = share("node", 3, self.LIKE)
        forget(place)
        spot = Spot(0, place.path, 3, 1, True)
        values = torch.ones(100)
        assert HostMemory("node", self.LIKE).read(spot) is None
        used, told = HostMemory("node", self.LIKE).write(spot, 1, values)
        assert used is values
        assert told is None
