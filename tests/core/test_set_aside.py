"""A lease over which workers fail again and again is set aside, and only then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation import Conversation, outcomes
from lagrad.core import Guard, LeaseBook, SetAside
from lagrad.policies import Asynchronous, KBatchSync, Synchronous


def talk_of(policy=None, *, attempts=3, **options):
    return Conversation(policy or Asynchronous(), guard=Guard(attempts=attempts), **options)


def set_aside(commands):
    return [command for command in commands if isinstance(command, SetAside)]


def test_the_last_of_the_attempts_sets_it_aside():
    talk = talk_of(num_samples=10, batch_size=2)
    talk.join(0)
    poison = talk.sent[0].lease
    for _ in range(2):
        assert set_aside(talk.leave(0, failed=True)) == []
        [sent] = talk.join(0)
        assert sent.lease == poison
    assert set_aside(talk.leave(0, failed=True)) == [SetAside(lease=poison, failures=3)]
    [sent] = talk.join(0)
    assert sent.lease.number == poison.number + 1
    assert talk.server.leases.set_aside == [poison]


def test_its_samples_count_as_settled_so_that_the_epoch_ends():
    talk = talk_of(attempts=1, num_samples=4, batch_size=2)
    talk.join(0, 1)
    talk.leave(0, failed=True)
    talk.push(1)
    assert talk.server.leases.epochs_settled == 1.0


@pytest.mark.parametrize("failed", [False, True])
def test_who_leaves_in_order_or_with_nothing_to_compute_blames_no_lease(failed):
    talk = talk_of(attempts=1)
    talk.join(0, pull=not failed)
    assert set_aside(talk.leave(0, failed=failed)) == []
    assert not talk.server.leases.failures


def test_without_a_limit_it_always_comes_back():
    talk = talk_of(attempts=None)
    for _ in range(20):
        talk.join(0)
        assert talk.sent[0].lease.number == 0
        talk.leave(0, failed=True)


def test_a_gradient_that_is_applied_after_all_clears_the_lease():
    talk = talk_of()
    talk.join(0)
    talk.leave(0, failed=True)
    talk.join(0)
    talk.push(0)
    assert not talk.server.leases.failures


def test_a_gradient_that_was_delivered_stays_though_its_worker_fails_over_the_next():
    talk = talk_of(KBatchSync(2), attempts=1)
    talk.join(0, 1)
    talk.push(0)
    talk.leave(0, failed=True)
    assert outcomes(talk.push(1)) == [(0, "applied"), (1, "applied")]
    assert not talk.server.leases.set_aside


def test_a_step_does_not_wait_for_what_was_set_aside():
    talk = talk_of(Synchronous(), attempts=1)
    talk.join(0, 1)
    talk.push(0)
    assert talk.server.version == 0
    talk.leave(1, failed=True)
    assert talk.server.version == 1


def test_a_notice_of_a_death_that_comes_twice_counts_once():
    talk = talk_of(attempts=2)
    talk.join(0)
    for _ in range(2):
        assert set_aside(talk.leave(0, failed=True)) == []
    assert talk.server.leases.failures == {0: 1}


@given(
    num_samples=st.integers(1, 9),
    batch_size=st.integers(1, 4),
    attempts=st.integers(1, 3),
    fates=st.lists(st.sampled_from(["settle", "return", "fail", "keep"]), max_size=60),
)
def test_books_balance_and_an_epoch_is_applied_but_for_what_was_set_aside(
    num_samples, batch_size, attempts, fates
):
    book = LeaseBook(num_samples, batch_size)
    applied, failed = set(), {}
    for fate in fates:
        lease = book.issue()
        assert lease not in book.set_aside
        if fate == "settle":
            book.settle(lease)
            applied.add(lease.number)
        elif fate == "return":
            book.give_back(lease)
        elif fate == "fail":
            failed[lease.number] = failed.get(lease.number, 0) + 1
            given_up = book.fail(lease, attempts=attempts)
            assert given_up == (attempts if failed[lease.number] == attempts else None)
        book.check()
    aside = {lease.number for lease in book.set_aside}
    assert aside == {number for number, times in failed.items() if times == attempts}
    assert not aside & applied
