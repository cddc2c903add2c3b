"""Who has pushed waits for those that are due, and never longer than two steps take."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lagrad.runtimes.local._gathering import Gathering

STEP_S = 1.0


def knowing(took: dict[int, float]) -> Gathering:
    """One that has seen each worker's last job."""
    gathering = Gathering()
    for worker, seconds in took.items():
        gathering.add(worker, iter(()), now=0.0, took=seconds, step_s=STEP_S)
    gathering.answer()
    return gathering


def test_a_slow_worker_is_waited_for_only_where_it_is_due():
    """Worker 0 pushes every 2 s, worker 1, which takes 10 s, was sent its point at 0."""
    gathering = knowing({0: 2.0, 1: 10.0})
    waits = {}
    for now in (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0):
        gathering.add(0, iter(()), now=now, took=2.0, step_s=STEP_S)
        waits[now] = gathering.left(now, {1: 0.0})
        gathering.answer()
    assert {now for now, left in waits.items() if left} == {8.0, 10.0, 12.0}


def test_nobody_is_waited_for_of_whom_nothing_is_known():
    gathering = knowing({0: 2.0, 1: 2.0})
    gathering.add(0, iter(()), now=2.0, took=2.0, step_s=STEP_S)
    assert gathering.left(2.0, {1: 0.0}) == 2.0
    assert gathering.left(2.0, {2: 0.0}) == 0.0
    assert gathering.left(2.0, {}) == 0.0
    gathering.lost(1)
    assert gathering.left(2.0, {1: 0.0}) == 0.0


def test_what_follows_the_push_of_a_lost_worker_never_comes():
    gathering = Gathering()
    for worker in (2, 0, 1):
        gathering.add(worker, iter([worker]), now=0.0, took=1.0, step_s=STEP_S)
    gathering.lost(0)
    assert [list(rest) for rest in gathering.answer()] == [[2], [1]]
    assert not gathering.anyone


seconds = st.floats(0.0, 100.0)


@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=5), seconds, seconds)
def test_the_first_waits_two_steps_at_most(jobs, step_s, later):
    """jobs: of each worker, when it was sent its point, and how long it took the last time."""
    gathering = knowing({worker: took for worker, (_, took) in enumerate(jobs)})
    gathering.add(9, iter(()), now=100.0, took=1.0, step_s=step_s)
    sent_at = {worker: at for worker, (at, _) in enumerate(jobs)}
    left = gathering.left(100.0 + later, sent_at)
    assert left <= max(0.0, 2 * step_s - later) + 1e-9
    assert math.isclose(left * 1e3, round(left * 1e3), abs_tol=1e-6)
