"""Leases: each sample of each epoch once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lagrad.core import Lease, LeaseBook, shuffled_order


def test_an_epoch_is_cut_into_batches_with_a_short_one_at_its_end():
    book = LeaseBook(7, 3)
    cuts = [(lease.epoch, lease.start, lease.stop) for lease in (book.issue() for _ in range(4))]
    assert cuts == [(0, 0, 3), (0, 3, 6), (0, 6, 7), (1, 0, 3)]


def test_a_stream_numbers_its_leases():
    book = LeaseBook(None)
    assert [book.issue().number for _ in range(3)] == [0, 1, 2]
    assert book.epochs_settled == 0.0


def test_the_oldest_returned_lease_comes_first():
    book = LeaseBook(10, 2)
    leases = [book.issue() for _ in range(3)]
    for lease in reversed(leases):
        book.give_back(lease)
    assert [book.issue() for _ in range(3)] == leases


def test_a_lease_is_settled_once():
    book = LeaseBook(4)
    lease = book.issue()
    book.settle(lease)
    with pytest.raises(KeyError):
        book.settle(lease)


@given(
    num_samples=st.integers(1, 9),
    batch_size=st.integers(1, 4),
    fates=st.lists(st.sampled_from(["settle", "return", "keep"]), max_size=60),
)
def test_books_balance_whatever_happens(num_samples, batch_size, fates):
    book = LeaseBook(num_samples, batch_size)
    for fate in fates:
        lease = book.issue()
        assert 1 <= lease.samples <= batch_size
        if fate == "settle":
            book.settle(lease)
        elif fate == "return":
            book.give_back(lease)
        book.check()


def test_the_order_is_a_function_of_seed_and_epoch():
    order = shuffled_order(50, seed=3, epoch=1)
    assert torch.equal(order, shuffled_order(50, seed=3, epoch=1))
    assert sorted(order.tolist()) == list(range(50))
    assert not torch.equal(order, shuffled_order(50, seed=3, epoch=2))
    assert not torch.equal(order, shuffled_order(50, seed=4, epoch=1))
    assert torch.equal(Lease(0, 1, 10, 14).indices(order), order[10:14])


def test_the_book_of_many_epochs_is_no_longer_than_that_of_one():
    book = LeaseBook(num_samples=10, batch_size=4)
    for number in range(300):
        lease = book.issue()
        if number % 7 == 0:
            book.give_back(lease)
            lease = book.issue()
        book.settle(lease)
        book.check()
        assert len(book.settled_samples) <= 1
    assert book.epochs_settled == 100
