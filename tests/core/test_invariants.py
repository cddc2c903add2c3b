"""`Server.check` sees each of the invariants that the head of its file lists."""

import pytest

from conversation import Conversation
from lagrad.core import Lease, Outcome
from lagrad.policies import KAsync


@pytest.fixture
def server():
    """Worker 0 is held with its gradient in the buffer, 1 and 2 compute, 3 has not pulled."""
    talk = Conversation(KAsync(2), num_samples=20)
    talk.join(0, 1, 2)
    for worker in (0, 1):
        talk.push(worker)
        talk.pull(worker)
    talk.push(0)
    talk.pull(0)
    talk.join(3, pull=False)
    assert (talk.held, talk.server.version) == ({0}, 1)
    return talk.server


def lose_a_verdict(server):
    server.verdicts[Outcome.DROPPED] -= 1


def step_on_nothing(server):
    server.ledger.version += 2
    for entry in server.ledger.buffer:
        entry.tau += 2


def lose_a_sample(server):
    server.leases.settled_samples[0] -= 1


def fail_over_what_is_settled(server):
    server.leases.failures[0] += 1


def set_aside_what_was_not_cut(server):
    server.leases.set_aside.append(Lease(99, 0, 0, 20))


def swap_a_lease(server):
    server.ledger.members[1].lease = Lease(99, 0, 0, 1)


def hold_the_dead(server):
    server.ledger.held[7] = None


def hold_one_that_computes(server):
    server.ledger.held[1] = None


def hold_for_nothing(server):
    server.ledger.held[3] = None


def leave_a_ready_buffer(server):
    server.policy = KAsync(1)


def mistake_a_staleness(server):
    server.ledger.buffer[0].tau += 1


def miscount_who_takes_part(server):
    server.ledger.num_taking_part += 1


def miscount_who_is_awaited(server):
    server.ledger.num_awaited -= 1


def misplace_the_floor(server):
    server.ledger.floor -= 1


@pytest.mark.parametrize(
    "damage",
    [
        lose_a_verdict,
        step_on_nothing,
        lose_a_sample,
        fail_over_what_is_settled,
        set_aside_what_was_not_cut,
        swap_a_lease,
        hold_the_dead,
        hold_one_that_computes,
        hold_for_nothing,
        leave_a_ready_buffer,
        mistake_a_staleness,
        miscount_who_takes_part,
        miscount_who_is_awaited,
        misplace_the_floor,
    ],
)
def test_damage_is_seen(server, damage):
    server.check()
    damage(server)
    with pytest.raises(AssertionError):
        server.check()
