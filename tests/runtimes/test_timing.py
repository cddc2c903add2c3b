"""The timing path against the simulator's trace, and against a plain loop where jobs are ended."""

import heapq

import numpy as np
import pytest

from lagrad import policies, rules, theory, train
from lagrad.delays import Bursts, Equal, Factors, Gamma, Pareto, Sampled, ShiftedExponential
from lagrad.policies import Point
from lagrad.runtimes import Simulator, Until, time_steps
from lagrad.tasks import parabola
from lagrad.trace import Judged, Pushed, read_trace

WORKERS, STEPS = 5, 50
POLICIES = [
    policies.Asynchronous(),
    policies.KAsync(3),
    policies.KBatchAsync(3),
    policies.KBatchAsync(7),
    policies.KSync(3),
    policies.KBatchSync(3),
    policies.KBatchSync(7),
    policies.Synchronous(),
    policies.BackupWorkers(2),
    policies.KFresh(3),
    policies.Ringmaster(3),
    policies.Deadline(1.0),
    policies.Deadline(3.0),
    Point(quorum=None, backups=1, hold=True, mads=2.0),
    policies.BoundedStaleness(0),
    policies.BoundedStaleness(2),
    Point(quorum=2, max_staleness=3, bound=1),
    Point(quorum=2, max_staleness=1, hold=True),
]
DELAYS = [
    ShiftedExponential(0.0, 1.0),
    ShiftedExponential(),
    Pareto(),
    Bursts(base=Factors(((0, 6.0),), base=Gamma())),
]


def simulated(policy, delays, seed, out):
    """(time of each step, stalenesses of each step in order of size, gradients that came)."""
    train(
        parabola(),
        rule=rules.SGD(lr=1e-3),
        policy=policy,
        runtime=Simulator(),
        workers=WORKERS,
        delays=delays,
        seed=seed,
        until=Until(updates=STEPS),
        evaluate_every=1e9,
        out=out,
    )
    times, taus, arrivals, now = [], [], 0, 0.0
    for record in read_trace(out / "trace.jsonl"):
        now = getattr(record, "time", now)
        if isinstance(record, Pushed):
            arrivals += 1
            applied = []
        if isinstance(record, Judged) and record.outcome == "applied":
            if not applied:
                times.append(now)
                taus.append(applied)
            applied.append(record.tau)
    return times, [sorted(each) for each in taus], arrivals


#: What the policies see of delays is an order of events: one without memory, and one that has it
#: and a slow worker, are enough for all of them.
ENOUGH = DELAYS[0], DELAYS[3]


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@pytest.mark.parametrize(
    "delays",
    [
        each if each in ENOUGH else pytest.param(each, marks=pytest.mark.experiments)
        for each in DELAYS
    ],
    ids=repr,
)
def test_times_and_stalenesses_are_those_of_the_simulator(policy, delays, tmp_path):
    seeds = [3, 11]
    timing = time_steps(policy, delays, workers=WORKERS, steps=STEPS, seeds=seeds)
    for row, seed in enumerate(seeds):
        times, taus, arrivals = simulated(policy, delays, seed, tmp_path / str(seed))
        assert timing.times[row].tolist() == times
        assert [sorted(t for t in step if t >= 0) for step in timing.taus[row].tolist()] == taus
        assert timing.arrivals[row] == arrivals


def plain_loop(delays, *, quorum, workers, steps, seed, hold):
    """K-sync (hold) or K-batch-sync as published: each step ends all jobs."""
    streams = [delays.stream(worker, seed) for worker in range(workers)]
    times, now = [], 0.0
    for _ in range(steps):
        jobs = [(now + next(stream), worker) for worker, stream in enumerate(streams)]
        heapq.heapify(jobs)
        for done in range(1, quorum + 1):
            now, worker = heapq.heappop(jobs)
            if not hold and done < quorum:
                heapq.heappush(jobs, (now + next(streams[worker]), worker))
        times.append(now)
    return times


@pytest.mark.parametrize("quorum", [1, 3, 5])
@pytest.mark.parametrize("delays", [*DELAYS, Equal()], ids=repr)
@pytest.mark.parametrize("kind", [policies.KSync, policies.KBatchSync])
def test_cancelling_agrees_with_a_plain_loop(kind, delays, quorum):
    timing = time_steps(
        kind(quorum), delays, workers=WORKERS, steps=300, seeds=range(4), cancel=True
    )
    for seed in range(4):
        wanted = plain_loop(
            delays,
            quorum=quorum,
            workers=WORKERS,
            steps=300,
            seed=seed,
            hold=kind is policies.KSync,
        )
        assert timing.times[seed].tolist() == wanted
    assert not timing.taus.any()
    assert timing.arrivals.tolist() == [300 * quorum] * 4


def test_long_runs_draw_block_after_block():
    delays = Factors(((2, 9.0),), base=Gamma(4.0))
    timing = time_steps(policies.Asynchronous(), delays, workers=3, steps=6000, seeds=[5])
    finish = []
    for worker in range(3):
        stream, now = delays.stream(worker, 5), 0.0
        for _ in range(6000):
            now += next(stream)
            finish.append(now)
    assert timing.times[0].tolist() == sorted(finish)[:6000]


@pytest.mark.parametrize("delays", DELAYS[:3], ids=repr)
def test_mean_staleness_is_a_matter_of_counting(delays):
    # Each worker's stalenesses add up to the versions less those it made or waited for; what is
    # missing is the jobs that run at the end.
    steps = 600
    for kind, mean in (
        (policies.KAsync, theory.k_async_staleness),
        (policies.KBatchAsync, theory.k_batch_async_staleness),
    ):
        for quorum in (1, 3, 8):
            timing = time_steps(kind(quorum), delays, workers=8, steps=steps, seeds=range(3))
            missing = 8 * (timing.taus.max() + 1) / (quorum * steps)
            wanted = mean(workers=8, quorum=quorum)
            assert timing.mean_staleness == pytest.approx([wanted] * 3, abs=missing)


@pytest.mark.parametrize("quorum", [1, 4])
def test_memoryless_workers_have_the_fresh_share_of_theory(quorum):
    options = {"workers": 8, "steps": 2000, "seeds": range(20)}
    for kind, share in (
        (policies.KAsync, theory.k_async_fresh),
        (policies.KBatchAsync, theory.k_batch_async_fresh),
    ):
        counts = time_steps(kind(quorum), ShiftedExponential(0.0), **options).staleness_counts
        assert counts.sum() == 20 * 2000 * quorum
        assert counts[0] / counts.sum() == pytest.approx(
            share(workers=8, quorum=quorum), abs=4 * 0.5 / np.sqrt(20 * 2000)
        )


def test_time_per_step_skips_the_beginning():
    timing = time_steps(policies.Synchronous(), Equal(), workers=2, steps=4, seeds=[0, 1])
    assert timing.time_per_step(skip=3).tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="from 0 to 3 steps, got 4"):
        timing.time_per_step(skip=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": policies.BoundedStaleness(3), "cancel": True}, "does not hold where"),
        ({"policy": Point(bound=3, hold=True)}, "does not hold where it has a bound"),
        ({"policy": Point(mads=3.0)}, "waits for all where it has a deadline"),
        ({"policy": Point(fresh=True)}, "fresh gradients"),
        ({"policy": policies.KSync(3)}, "quorum of at most 2"),
        ({"seeds": []}, "at least 1 worker"),
        ({"steps": 0}, "at least 1 worker"),
    ],
)
def test_what_cannot_be_followed_is_refused(options, message):
    arguments = {"policy": policies.Asynchronous(), "workers": 2, "steps": 3, "seeds": [0]}
    arguments |= options
    with pytest.raises(ValueError, match=message):
        time_steps(arguments.pop("policy"), Sampled("expon"), **arguments)
