"""Copies of the parameters and the scores that count for them, without processes."""

import pytest

import small_tasks
from lagrad.policies import Asynchronous
from lagrad.rules import SGD
from lagrad.runtimes import Run, Setup, Until
from lagrad.runtimes.local._evaluator import Evaluator
from lagrad.runtimes.local._worker import Slot
from lagrad.tasks import Differentiator


class FakeSeat:
    def __init__(self, run):
        self.slot = Slot.allocate(run.server.params, run.trainee.initial_buffers())
        self.sent = []

    def send(self, message):
        self.sent.append(message)


@pytest.fixture
def run():
    setup = Setup(
        task=small_tasks.blobs,
        rule=SGD(lr=0.1),
        policy=Asynchronous(),
        workers=1,
        until=Until(target="accuracy>=0.9"),
        evaluate_every=4.0,
    )
    return Run(setup, Differentiator(setup.task), folder=None, observe=None)


def at(run, evaluator, *moments):
    for moment in moments:
        run.now = moment
        evaluator.keep_time()


def test_a_kept_copy_that_misses_does_not_throw_away_the_later_ones(run):
    evaluator = Evaluator(run, FakeSeat(run))
    at(run, evaluator, 1.0, 2.0, 3.0, 4.0)
    assert evaluator.busy
    evaluator.scored({"accuracy": 0.95})
    assert run.seconds_to_target == 4.0
    reached = {1.0: 0.5, 2.0: 0.91}
    for moment, accuracy in reached.items():
        copy = evaluator.next_kept()
        assert copy.moment.seconds == moment
        evaluator.score(copy)
        evaluator.scored({"accuracy": accuracy})
    assert run.seconds_to_target == 2.0
    assert evaluator.next_kept() is None, "later copies cannot be earlier"
    assert [e.seconds for e in run.evaluations] == [1.0, 2.0, 4.0]


def test_where_scoring_takes_long_copies_are_spaced_more_widely(run):
    evaluator = Evaluator(run, FakeSeat(run))
    at(run, evaluator, *(0.5 * half for half in range(8, 400)))
    evaluator.scored({"accuracy": 0.95})
    run.seconds_to_target = 200.0
    kept = []
    while (copy := evaluator.next_kept()) is not None:
        kept.append(copy.moment.seconds)
    assert 4 <= len(kept) <= 8
    assert kept == sorted(kept)
    assert kept[-1] > 150.0


def test_copies_before_a_miss_are_forgotten(run):
    evaluator = Evaluator(run, FakeSeat(run))
    at(run, evaluator, 1.0, 2.0, 3.0, 4.0)
    at(run, evaluator, 5.0)
    evaluator.scored({"accuracy": 0.5})
    at(run, evaluator, 8.0)
    evaluator.scored({"accuracy": 0.95})
    assert evaluator.next_kept().moment.seconds == 5.0


def test_the_copy_of_a_dead_evaluator_is_scored_by_the_next(run):
    seat = FakeSeat(run)
    evaluator = Evaluator(run, seat)
    at(run, evaluator, 4.0)
    evaluator.score_again()
    assert len(seat.sent) == 2
    evaluator.scored({"accuracy": 0.2})
    evaluator.score_again()
    assert len(seat.sent) == 2, "nothing was being scored"
