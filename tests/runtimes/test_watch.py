"""Who hangs, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagrad.runtimes import Signs, Watch

AFTER = 3.0
TICK = 0.1


class Workers:
    """Virtual workers before a watch; time passes by `go`."""

    def __init__(self, count=2):
        self.watch = Watch(after=AFTER)
        self.now = 0.0
        self.beats = dict.fromkeys(range(count), 1)
        self.jobs = {worker: [0, 0] for worker in range(count)}
        self.look()

    def look(self):
        shown = {w: Signs(beats, *self.jobs[w]) for w, beats in self.beats.items()}
        return self.watch.look(self.now, shown)

    def begin(self, *workers):
        for worker in workers:
            self.jobs[worker][0] += 1

    def finish(self, *workers):
        for worker in workers:
            self.jobs[worker][1] += 1

    def go(self, seconds, *, stopped=(), tick=TICK):
        """Let time pass; who was found to hang, and when first, after so many seconds."""
        found, began = {}, self.now
        for _ in range(round(seconds / tick)):
            self.now += tick
            for worker in self.beats:
                self.beats[worker] += worker not in stopped
            for worker in self.look():
                found.setdefault(worker, round(self.now - began, 6))
        return found


def test_who_beats_and_waits_does_not_hang():
    assert Workers().go(100) == {}


def test_who_is_stopped_longer_than_that_hangs_and_no_other():
    assert Workers().go(10, stopped=[1]) == {1: pytest.approx(AFTER, abs=2 * TICK)}


@given(pauses=st.lists(st.tuples(st.floats(0.1, 2.7), st.floats(0.2, 5)), max_size=20))
def test_pauses_that_are_shorter_accuse_nobody_however_many(pauses):
    workers = Workers()
    for stopped, going in pauses:
        assert workers.go(stopped, stopped=[0]) == {}
        assert workers.go(going) == {}


@pytest.mark.parametrize("slept", [5.0, 1e6])
def test_when_the_watch_itself_stood_still_nobody_is_accused(slept):
    workers = Workers()
    assert workers.go(slept, stopped=[0, 1], tick=slept) == {}
    assert workers.go(10) == {}


def test_a_watch_that_is_starved_accuses_only_after_as_many_looks_as_seconds():
    workers = Workers()
    assert workers.go(40, stopped=[0], tick=20) == {}
    assert workers.go(60, stopped=[0], tick=20) == {0: 20}


def test_a_job_that_goes_on_far_longer_than_any_before_hangs():
    workers = Workers()
    for _ in range(3):
        workers.begin(0, 1)
        assert workers.go(1) == {}
        workers.finish(0, 1)
    workers.begin(0)
    assert workers.go(19) == {}
    assert workers.go(10) == {0: pytest.approx(1, abs=0.5)}


def test_a_job_that_is_shorter_than_the_limit_of_beats_does_not():
    workers = Workers()
    workers.begin(0)
    workers.go(TICK)
    workers.finish(0)
    workers.begin(0)
    assert workers.go(AFTER - 2 * TICK) == {}
    assert workers.go(1) == {0: pytest.approx(0.2, abs=0.2)}


def test_the_first_job_may_take_as_long_as_it_likes():
    workers = Workers()
    workers.begin(0, 1)
    assert workers.go(1000) == {}
    workers.finish(0)
    assert workers.go(1000) == {}  # the other's is no longer than 20 times the first


def test_sleeping_on_purpose_is_no_computing():
    workers = Workers()
    for _ in range(5):
        workers.begin(0)
        workers.go(0.2)
        workers.finish(0)
        assert workers.go(500) == {}


def test_many_jobs_between_two_looks_are_many_jobs():
    workers = Workers()
    for _ in range(2000):
        workers.begin(0)
        workers.finish(0)
        workers.begin(0)
        assert workers.go(0.1) == {}
        workers.finish(0)


def test_jobs_that_were_done_before_the_first_look_at_their_worker_count():
    workers = Workers()
    workers.beats[7], workers.jobs[7] = 1, [4, 3]
    assert workers.go(AFTER - TICK) == {}
    assert workers.go(1) == {7: pytest.approx(TICK, abs=TICK)}


def test_another_life_begins_anew():
    workers = Workers()
    workers.begin(1)
    workers.go(1)
    workers.finish(1)
    workers.begin(0)
    workers.go(2.5, stopped=[0])
    del workers.beats[0]
    workers.go(1)
    workers.beats[0], workers.jobs[0] = 1, [0, 0]
    assert workers.go(2.5, stopped=[0]) == {}
    assert workers.go(1, stopped=[0]) == {0: pytest.approx(0.5, abs=0.3)}
