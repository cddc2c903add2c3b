"""Actors of Ray that stand still, or hang in their own code."""

import os
import signal
from functools import partial

import pytest

import small_tasks
from lagrad import policies, rules, train
from lagrad.runtimes import Ray, Stopped, Until
from lagrad.runtimes.ray import _crew
from lagrad.trace import Left
from proved import prove

pytest.importorskip("ray")

DEADLINE_S = 100.0
HUNG_AFTER_S = 2.0

pytestmark = [
    pytest.mark.experiments,
    pytest.mark.timeout(250),
    pytest.mark.filterwarnings("ignore"),
]


def go(out, task=small_tasks.sliceable, *, servers=1, **options):
    return train(
        task,
        rule=rules.Momentum(lr=0.01),
        runtime=Ray(servers=servers, seconds_per_job=0.02, hung_after=HUNG_AFTER_S),
        workers=2,
        until=Until(seconds=DEADLINE_S),
        out=out,
        **options,
    )


def until_back(run, worker=0):
    """Stop when a second life of the worker has delivered a gradient."""
    member = run.server.ledger.members.get(worker)
    if member is not None and member.incarnation and member.sequence >= 0:
        run.stop(Stopped.BUDGET)


@pytest.mark.parametrize("worker", [0, 1])
def test_who_stands_still_for_too_long_is_ended_and_another_life_comes(nodes, tmp_path, worker):
    """On the server's host, or on the other one; all the rest waits for it."""
    result = go(
        tmp_path / "run",
        policy=policies.Synchronous(),
        chaos=[f"pause:worker={worker},at=0.5s,for=3000s"],
        observe=partial(until_back, worker=worker),
    )
    assert (result.stopped, result.faults[0][1]) == (Stopped.BUDGET, 1)
    [words] = result.failures
    assert words.startswith(f"Worker {worker}: no sign of life for 2"), words
    [left] = [
        record
        for record in prove(tmp_path / "run", small_tasks.sliceable)
        if isinstance(record, Left)
    ]
    assert (left.worker, left.failed) == (worker, False)  # the fault was ours, not its lease's


def test_a_deadlock_in_the_tasks_code_is_ended_and_counts_as_its_failure(nodes, tmp_path):
    mark = tmp_path / "mark"
    hangs = small_tasks.make("hanging", loss=partial(small_tasks.hangs_elsewhere, str(mark)))

    def observe(run):
        for worker in range(2):
            until_back(run, worker)

    result = go(tmp_path / "run", hangs, observe=observe)
    assert result.stopped is Stopped.BUDGET
    [words] = result.failures
    assert "computes for" in words
    assert "no job before took over" in words
    [left] = [record for record in prove(tmp_path / "run", hangs) if isinstance(record, Left)]
    assert left.failed


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTERM], ids=lambda each: each.name)
def test_a_shard_that_stands_still_or_is_asked_to_end_is_stood_in_for(
    nodes, tmp_path, monkeypatch, number
):
    crews, struck = [], []
    made = _crew.Crew.__init__

    def make(self, *arguments):
        made(self, *arguments)
        crews.append(self)

    def observe(run):
        shards = crews[0].shards
        if run.server.version >= 20 and not struck:
            first = shards.keepers[0][0]
            os.kill(int(first.holder.points.split("/")[2]), number)
            struck.append(first)
        elif struck and struck[0] not in shards.keepers[0] and shards.ready:
            run.stop(Stopped.BUDGET)

    monkeypatch.setattr(_crew.Crew, "__init__", make)
    result = go(tmp_path / "run", servers=2, observe=observe)
    assert result.stopped is Stopped.BUDGET
    [words] = result.failures
    what = "no sign of life" if number == signal.SIGSTOP else "its process is gone"
    assert words.startswith(f"A shard of slice 0: {what}"), words
    prove(tmp_path / "run", small_tasks.sliceable)
