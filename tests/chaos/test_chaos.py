"""Faults on purpose: drawn by a pure function, carried out at their time, counted, replayed."""

import itertools
import math

import pytest

import small_tasks
from cases_values import FAULTS
from lagrad import audit, chaos, delays, policies, replay, rules, specs, train
from lagrad.core import Outcome
from lagrad.runtimes import Local, RunFailed, Simulator, Until
from lagrad.trace import Joined, Left, Pushed, Struck, read_trace


def simulate(out=None, *, restarts=0, workers=3, updates=20, policy=None, **options):
    return train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.1),
        policy=policy or policies.Asynchronous(),
        runtime=Simulator(restarts=restarts),
        workers=workers,
        until=Until(updates=updates),
        out=out,
        **options,
    )


def local(**options):
    return train(small_tasks.blobs, runtime=Local(), workers=2, until=Until(updates=9), **options)


def pushes(out, worker):
    return [
        r.time
        for r in read_trace(out / "trace.jsonl")
        if isinstance(r, Pushed) and r.worker == worker
    ]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_read_back_from_its_specification(fault):
    assert specs.parse("fault", specs.describe(fault)) == fault


def test_the_words_of_the_command_line():
    for text, fault in {
        "kill:worker=2,at=30s": chaos.Kill(2, at=30),
        "kill:server,at=60s": chaos.Kill("server", at=60),
        "drop:p=0.01": chaos.Drop(p=0.01),
        "pause:worker=1,for=5s": chaos.Pause(1, seconds=5),
        "pause:worker=1,at=1.5s,for=0.5s": chaos.Pause(1, at=1.5, seconds=0.5),
        "preempt:worker=1,at=5s": chaos.Preempt(1, at=5),
        "slow:worker=3,factor=5": chaos.Slow(3, factor=5),
        "duplicate:p=0.01": chaos.Duplicate(p=0.01),
        "nan:worker=1,p=0.001": chaos.Nan(p=0.001, worker=1),
    }.items():
        assert specs.parse("fault", text) == fault


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: chaos.Drop(p=0.0), "Expected p in"),
        (lambda: chaos.Drop(p=1.5), "Expected p in"),
        (lambda: chaos.Nan(p=0.1, worker=-1), "Expected a worker >= 0"),
        (lambda: chaos.Kill("sever", at=1.0), "Expected a worker >= 0"),
        (lambda: chaos.Kill(0, at=-1.0), "Expected at >= 0"),
        (lambda: chaos.Pause(0, seconds=0.0), "Expected seconds > 0"),
        (lambda: chaos.Slow(0, factor=math.inf), "Expected factor > 0"),
        (lambda: chaos.Kill("server", at=-1.0), "Expected at >= 0"),
        (lambda: local(chaos=["kill:server,at=60s"]), "nobody would bring this server back"),
        (lambda: simulate(chaos=["kill:worker=3"]), "Expected faults of workers below 3"),
        (lambda: simulate(chaos=["kil:worker=1"]), "did you mean kill"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("p", [0.01, 0.3, 1.0])
def test_chances_are_as_asked_and_independent_of_what_else_is_drawn(p):
    def hits(seed, kind=chaos.Drop):
        pushes = [(w, i, n) for w in range(4) for i in range(2) for n in range(500)]
        return [
            kind(p=p).hits(worker=w, incarnation=i, sequence=n, seed=seed) for w, i, n in pushes
        ]

    one, other = hits(0), hits(1)
    assert one == hits(0)
    for drawn in (one, other, hits(0, chaos.Nan)):
        assert abs(sum(drawn) - 4000 * p) <= 5 * math.sqrt(4000 * p * (1 - p))
    both = sum(a and b for a, b in zip(one, other, strict=True))
    assert abs(both - 4000 * p**2) <= 5 * math.sqrt(4000 * p**2 * (1 - p**2))


def test_two_runs_have_the_same_faults_and_another_seed_others(tmp_path):
    asked = ["drop:p=0.2", "duplicate:p=0.2", "nan:worker=1,p=0.5", "kill:worker=0,at=3s"]
    one, two = (simulate(restarts=1, chaos=asked, seed=3) for _ in range(2))
    assert (one.trace_sha256, one.digest, one.faults) == (two.trace_sha256, two.digest, two.faults)
    assert simulate(restarts=1, chaos=asked, seed=4).faults != one.faults


@pytest.mark.parametrize(
    "runtime", [Simulator(0.02, restarts=1), Local(restarts=1, seconds_per_job=0.005)], ids=repr
)
def test_every_fault_in_every_runtime(tmp_path, runtime):
    out = tmp_path / "run"
    result = train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.1),
        policy=policies.KAsync(2),
        runtime=runtime,
        workers=4,
        until=Until(updates=400),
        delays=delays.Equal(),
        chaos=[
            "kill:worker=0,at=0.1s",
            "pause:worker=1,at=0.05s,for=0.1s",
            "slow:worker=2,factor=2",
            "preempt:worker=3,at=0.15s",
            "drop:p=0.05",
            "duplicate:p=0.05",
            "nan:worker=1,p=0.1",
        ],
        out=out,
    )
    assert result.updates == 400
    assert [struck for _, struck in result.faults][:4] == [1, 1, 1, 1]
    assert [tally.preemptions for tally in result.workers] == [0, 0, 0, 1]
    assert result.verdicts[Outcome.DUPLICATE] == result.faults[5][1] > 0
    assert result.verdicts[Outcome.REJECTED] == result.faults[6][1] > 0
    found = audit(out)
    assert found.holds, [promise.violations for promise in found.promises]
    again = replay(out, task=small_tasks.blobs)
    assert again.identical, again.differences


def test_the_faults_of_a_push_are_the_same_in_every_runtime(tmp_path):
    hit = []
    for number, runtime in enumerate((Simulator(), Local())):
        out = tmp_path / str(number)
        train(
            small_tasks.blobs,
            rule=rules.SGD(lr=0.1),
            policy=policies.Synchronous(),
            runtime=runtime,
            workers=2,
            until=Until(updates=40),
            chaos=["duplicate:p=0.2", "nan:p=0.1"],
            out=out,
        )
        records = list(read_trace(out / "trace.jsonl"))
        following = itertools.pairwise(records)
        hit.append(
            {
                (before.kind, after.worker, after.sequence)
                for before, after in following
                if isinstance(before, Struck) and isinstance(after, Pushed) and after.sequence < 35
            }
        )
    assert hit[0] == hit[1] != set()


def test_a_pause_delays_the_job_that_it_hits_and_no_other(tmp_path):
    simulate(tmp_path / "run", chaos=["pause:worker=1,at=1.5s,for=4s"], workers=2, updates=12)
    assert pushes(tmp_path / "run", 0)[:6] == [1, 2, 3, 4, 5, 6]
    assert pushes(tmp_path / "run", 1)[:3] == [1, 6, 7]


def test_pauses_that_overlap_end_with_the_later(tmp_path):
    asked = ["pause:worker=1,at=1.5s,for=4s", "pause:worker=1,at=2.5s,for=1s"]
    simulate(tmp_path / "run", chaos=asked, workers=2, updates=12)
    assert pushes(tmp_path / "run", 1)[:3] == [1, 6, 7]


def test_a_killed_worker_comes_back_as_often_as_it_may(tmp_path):
    asked = ["kill:worker=1,at=1.5s", "kill:worker=1,at=2s", "kill:worker=1,at=9s"]
    result = simulate(tmp_path / "run", chaos=asked, restarts=2, workers=2, updates=40)
    records = list(read_trace(tmp_path / "run" / "trace.jsonl"))
    joins = [r.time for r in records if isinstance(r, Joined) and r.worker == 1]
    leaves = [r.time for r in records if isinstance(r, Left)]
    # The second kill finds nobody at 2 s, and waits for the new life.
    assert joins == [0, 2.5, 3.5]
    assert leaves == [1.5, 2.5, 9]
    assert len(result.failures) == 3
    assert audit(tmp_path / "run").holds


def test_who_is_asked_to_leave_is_back_after_a_minute_without_a_restart(tmp_path):
    result = simulate(tmp_path / "run", chaos=["preempt:worker=1,at=2.5s"], workers=2, updates=90)
    records = list(read_trace(tmp_path / "run" / "trace.jsonl"))
    [left] = [r for r in records if isinstance(r, Left)]
    joins = [r.time for r in records if isinstance(r, Joined) and r.worker == 1]
    assert (left.time, left.failed, joins) == (2.5, False, [0, 63.5])
    assert result.failures == ()
    assert audit(tmp_path / "run").holds


def test_a_dropped_push_costs_its_time_and_no_sample(tmp_path):
    result = simulate(tmp_path / "run", chaos=["drop:p=0.5,worker=0"], updates=30)
    assert result.updates == 30
    assert result.workers[0].verdicts.total() < result.workers[1].verdicts.total()
    assert audit(tmp_path / "run").holds


def test_when_all_are_dead_the_run_says_so():
    with pytest.raises(RunFailed, match="Every worker is gone"):
        simulate(chaos=[f"kill:worker={w},at=2s" for w in range(3)], updates=100)


def test_a_run_that_ends_while_a_worker_stands_still_ends_at_once():
    result = train(
        small_tasks.without_scores,
        rule=rules.SGD(lr=0.1),
        runtime=Local(),
        workers=2,
        until=Until(updates=200),
        chaos=["pause:worker=1,for=3000s"],
    )
    assert result.faults[0][1] == 1
    assert result.verdicts[Outcome.APPLIED] == 200


class TestADeathOfTheServer:
    ASKED = ("kill:server,at=4.5s", "kill:worker=1,at=4s", "drop:p=0.1", "nan:worker=2,p=0.3")

    @pytest.mark.parametrize("policy", [policies.KSync(2), policies.Asynchronous()], ids=repr)
    def test_all_workers_come_back_and_the_server_as_it_was(self, tmp_path, policy):
        out = tmp_path / "run"
        result = simulate(out, chaos=self.ASKED, restarts=1, policy=policy, updates=40)
        assert result.faults[0][1] == 1
        assert "The server: killed" in result.failures
        records = list(read_trace(out / "trace.jsonl"))
        struck = next(n for n, r in enumerate(records) if isinstance(r, Struck) and r.worker == -1)
        left = {r.worker for r in records[struck:] if isinstance(r, Left)}
        # Worker 1 was starting again when its server died.
        assert left == {0, 2}
        joins = [(r.worker, r.time) for r in records[struck:] if isinstance(r, Joined)]
        assert sorted(joins) == [(0, 5.5), (1, 5.5), (2, 5.5)]
        assert audit(out).holds
        assert replay(out, task=small_tasks.blobs).identical

    def test_who_outlives_it_is_told_by_the_audit(self, tmp_path):
        out = tmp_path / "run"
        simulate(out, chaos=["kill:server,at=2.5s"])
        trace = out / "trace.jsonl"
        lines = trace.read_text().splitlines(keepends=True)
        for number, line in enumerate(lines):
            if '"is":"leave"' in line:
                trace.write_text("".join([*lines[:number], *lines[number + 1 :]]))
                words = [each for p in audit(out).promises for each in p.violations]
                assert any("outlive their server" in each for each in words)

    def test_a_death_of_a_server_without_workers(self, tmp_path):
        asked = ["kill:worker=0,at=2s", "kill:server,at=2.2s"]
        result = simulate(tmp_path / "run", chaos=asked, workers=1, restarts=1)
        assert result.updates == 20
        assert audit(tmp_path / "run").holds
