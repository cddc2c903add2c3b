"""Workers that hang, are asked to leave, fail over their samples, or are all gone for a while."""

import os
import signal
import subprocess
import sys

import pytest

import small_tasks
from lagrad import policies, rules, train
from lagrad.runtimes import Local, Result, RunFailed, Stopped, Until
from lagrad.trace import Joined, Left, PutAside
from proved import prove

DEADLINE_S = 100.0


def run(out, task=small_tasks.blobs, *, until=None, observe=None, workers=2, **options) -> Result:
    runtime = {"seconds_per_job": 0.02, "hung_after": 2.0}
    setup = {name: options.pop(name) for name in ("policy", "chaos", "guard") if name in options}
    return train(
        task,
        rule=rules.SGD(lr=0.01),
        runtime=Local(**{**runtime, **options}),
        workers=workers,
        until=until or Until(seconds=DEADLINE_S),
        **setup,
        observe=observe,
        out=out,
    )


def until_back(run, worker=0) -> None:
    """Stop when a second life of the worker has delivered a gradient."""
    member = run.server.ledger.members.get(worker)
    if member is not None and member.incarnation and member.sequence >= 0:
        run.stop(Stopped.BUDGET)


def test_who_is_stopped_for_too_long_is_ended_and_another_life_sits_down(tmp_path):
    result = run(
        tmp_path / "run",
        policy=policies.Synchronous(),  # where all the rest waits for it
        chaos=["pause:worker=1,at=0.1s,for=0.6s", "pause:worker=0,at=1s,for=3000s"],
        observe=until_back,
    )
    assert [struck for _, struck in result.faults] == [1, 1]
    [words] = result.failures  # a stop that is shorter costs its time alone
    assert words.startswith("Worker 0: no sign of life for 2"), words
    records = prove(tmp_path / "run")
    left = next(record for record in records if isinstance(record, Left))
    assert (left.worker, left.failed) == (0, False)  # the fault was ours, not its lease's
    assert not result.set_aside


def test_a_deadlock_shows_as_a_job_far_longer_than_any_before(tmp_path, monkeypatch):
    monkeypatch.setenv("LAGRAD_TEST_MARK", str(tmp_path / "mark"))
    result = run(tmp_path / "run", small_tasks.hanging, workers=1, observe=until_back)
    [words, absence] = result.failures
    assert "computes for" in words
    assert "no job before took over" in words
    assert absence.startswith("No worker was there for ")
    prove(tmp_path / "run", small_tasks.hanging)


DEADLOCKED = """
import multiprocessing, os, threading
from lagrad.runtimes._pulse import Pulse, while_connected

def deadlocked(ours, theirs):
    ours.close()
    pulse = Pulse.allocate()
    pulse.beat(while_connected(theirs))
    theirs.send(pulse.signs().beats)
    threading.Event().wait()

context = multiprocessing.get_context("fork")
ours, theirs = context.Pipe()
context.Process(target=deadlocked, args=(ours, theirs)).start()
# The first beat is there at once: a worker may be stopped before its pulse has paused.
os._exit(0 if ours.recv() > 0 else 1)
"""


def test_who_is_deadlocked_does_not_outlive_its_server():
    # The pipe has an end when the last process that could write to it is gone.
    subprocess.run(
        [sys.executable, "-c", DEADLOCKED], stdout=subprocess.PIPE, timeout=DEADLINE_S, check=True
    )


def test_who_is_asked_to_leave_does_and_has_not_failed(tmp_path):
    asked = []

    def observe(run):
        if not asked and run.server.version >= 5:
            asked.append(run.processes[1])
            os.kill(run.processes[1], signal.SIGTERM)
        if 1 not in run.server.ledger.members and run.server.version >= 30:
            run.stop(Stopped.BUDGET)

    result = run(tmp_path / "run", restarts=0, observe=observe)
    assert result.failures == ()
    assert [tally.preemptions for tally in result.workers] == [0, 1]
    records = prove(tmp_path / "run")
    [left] = [record for record in records if isinstance(record, Left)]
    assert (left.worker, left.failed) == (1, False)


def test_a_lease_over_which_workers_fail_is_set_aside_and_no_worker_is_to_blame(tmp_path):
    """In each epoch the poisoned sample fells two workers that may fail once at most."""
    out, epochs = tmp_path / "run", 3

    def enough(run):
        # A budget of epochs counts samples, some of which may be of an epoch ahead.
        if len(run.server.leases.set_aside) == epochs:
            run.stop(Stopped.BUDGET)

    result = run(out, small_tasks.poisoned, observe=enough, restarts=1, guard="guard:attempts=2")
    assert result.stopped is Stopped.BUDGET
    assert [lease.epoch for lease in result.set_aside] == [*range(epochs)]
    failures = [words for words in result.failures if words.startswith("Worker")]
    assert len(failures) == 2 * epochs
    assert all("the loss fell over a sample" in words for words in failures)
    records = prove(out, small_tasks.poisoned)
    aside = [(r.lease, r.failures) for r in records if isinstance(r, PutAside)]
    assert aside == [(lease.number, 2) for lease in result.set_aside]
    assert {record.failed for record in records if isinstance(record, Left)} == {True}


def test_when_all_are_gone_the_server_waits_for_one_and_says_so(tmp_path):
    killed, alone = [], []

    def observe(run):
        if not killed and run.server.version >= 5:
            killed.extend(run.processes.values())
            for process in killed:
                os.kill(process, signal.SIGKILL)
        alone.append(run.alone_since)
        until_back(run)

    result = run(tmp_path / "run", restarts=1, observe=observe)
    assert result.stopped is Stopped.BUDGET
    assert any(since is not None for since in alone)
    assert any(words.startswith("No worker was there for ") for words in result.failures)
    joins = [record for record in prove(tmp_path / "run") if isinstance(record, Joined)]
    assert max(record.incarnation for record in joins) == 1


def test_when_nobody_can_come_any_more_the_run_says_so(tmp_path):
    def observe(run):
        if run.server.version >= 5:
            for process in run.processes.values():
                os.kill(process, signal.SIGKILL)

    with pytest.raises(RunFailed, match="Every worker is gone, and none is to be started"):
        run(tmp_path / "run", restarts=0, observe=observe)
