"""When places are filled again, in virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from lagrad.checkpoints import put_back, take
from lagrad.runtimes import Backoff, Blame


def pauses(place, times, *, life=1.0):
    """The pauses between lives that fail one after the other; None: there is no other."""
    now, found = 0.0, []
    for _ in range(times):
        place.began(now)
        now += life
        place.failed(now)
        found.append(None if place.due is None else place.due - now)
        now = place.due or now
    return found


def test_they_double_up_to_a_minute():
    assert pauses(Backoff(restarts=9), 10) == [1, 2, 4, 8, 16, 32, 60, 60, 60, None]


def test_without_restarts_the_first_failure_is_the_last():
    assert pauses(Backoff(restarts=0), 1) == [None]


def test_a_long_life_begins_the_count_anew():
    place = Backoff(restarts=2)
    pauses(place, 2)
    place.began(100.0)
    place.failed(700.0)
    assert place.due == 701.0


def test_who_was_asked_to_leave_has_not_failed():
    place = Backoff(restarts=0)
    for began in (0.0, 100.0, 200.0):
        place.began(began)
        place.left(began + 5)
        assert place.due == began + 65
    assert place.failures == 0


def test_a_failure_that_was_none_is_forgotten_and_fills_a_place_that_was_given_up():
    place = Backoff(restarts=1)
    pauses(place, 2)
    assert place.due is None
    place.cleared(100.0)
    assert (place.failures, place.due) == (1, 101.0)


def test_a_place_that_is_to_be_filled_or_taken_is_so_whatever_is_forgotten():
    place = Backoff(restarts=3)
    place.began(0.0)
    place.cleared(1.0)
    assert (place.failures, place.due) == (0, None)
    pauses(place, 2)
    due = place.due
    place.cleared(5.0)
    assert place.due == due


def test_samples_are_to_blame_only_where_others_go_well():
    blame, cleared = Blame(), []
    for lease, applied in enumerate((0, 0, 7, 7, 9)):
        blame.failed(worker=lease, lease=lease)
        cleared += blame.set_aside(lease, applied=applied)
    assert cleared == [2, 4]


def test_only_who_failed_over_the_lease_is_cleared_as_often_as_it_did():
    blame = Blame()
    for worker, lease in ((0, 1), (1, 1), (0, 1), (2, 5)):
        blame.failed(worker=worker, lease=lease)
    assert blame.set_aside(1, applied=1) == [0, 1, 0]


def test_a_long_run_remembers_no_more_than_a_short_one():
    blame = Blame()
    for lease in range(5000):
        blame.failed(worker=0, lease=lease)
    assert blame.set_aside(0, applied=1) == []
    assert blame.set_aside(4999, applied=2) == [0]


def test_a_life_that_has_begun_is_not_due():
    place = Backoff(restarts=1)
    place.began(0.0)
    place.failed(1.0)
    place.began(2.0)
    assert place.due is None


@given(
    restarts=st.integers(0, 5),
    lives=st.lists(
        st.tuples(st.floats(0, 2000), st.sampled_from(["failed", "left"])), max_size=100
    ),
)
def test_never_more_failures_in_a_row_than_allowed_and_no_pause_beyond_a_minute(restarts, lives):
    place, now, row = Backoff(restarts), 0.0, 0
    for life, end in lives:
        place.began(now)
        began, now = now, now + life
        getattr(place, end)(now)
        if end == "failed":
            row = 1 if now - began >= 600 else row + 1
        if place.due is None:
            assert row == restarts + 1
            return
        assert 0 < place.due - now <= 60.0001
        now = place.due
    assert row <= restarts


def test_failures_are_kept_and_the_clock_of_another_process_is_not():
    before, after = Backoff(restarts=3), Backoff(restarts=3)
    pauses(before, 2)
    put_back(take(before), after)
    assert (after.failures, after.due) == (2, None)


def test_a_place_with_a_huge_number_of_restarts():
    place = Backoff(restarts=10**9, failures=10**8)
    place.began(0.0)
    place.failed(1.0)
    assert place.due == 61.0
