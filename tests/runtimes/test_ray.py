"""Ray's actors on two nodes: like the simulator to the bit, and nothing is lost but time."""

import os
import signal

import pytest

import small_tasks
from lagrad import audit, policies, replay, rules, train
from lagrad.core import Outcome
from lagrad.delays import Factors, Recorded
from lagrad.runtimes import Ray, RunFailed, Simulator, Stopped, Until, _backoff
from lagrad.trace import Joined, Judged, Left, Pushed, Sent, job_durations, read_trace
from proved import prove

ray = pytest.importorskip("ray")

WORKERS, UPDATES = 2, 60
DEADLINE_S = 90.0
FOREVER_S = 1e9


pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def course(out):
    """Who was sent and pushed what, in order, and what became of it; all but the clock."""
    found = []
    for record in read_trace(out / "trace.jsonl"):
        if isinstance(record, Sent | Judged):
            found.append(record)
        elif isinstance(record, Pushed):
            found.append((record.worker, record.sequence, record.version, record.lease))
    return found


@pytest.fixture(scope="module")
def asynchronous(nodes, tmp_path_factory):
    """One run of two uneven workers, and its simulation on the recorded job times."""
    folder = tmp_path_factory.mktemp("asynchronous")
    options = {
        "task": small_tasks.with_batch_norm,
        "rule": rules.DynamicMomentum(lr=0.02, lookahead=rules.RollForward()),
        "policy": policies.Asynchronous(),
        "workers": WORKERS,
        "until": Until(updates=UPDATES),
        "ema": 0.9,
    }
    hosts = set()

    def observe(run):
        hosts.update(node["NodeID"] for node in ray.nodes() if node["Alive"])

    result = train(
        **options,
        runtime=Ray(seconds_per_job=0.004),
        delays=Factors(((0, 5.0),)),
        observe=observe,
        out=folder / "ray",
    )
    durations = job_durations(folder / "ray" / "trace.jsonl")
    simulated = train(
        **options,
        runtime=Simulator(),
        delays=Recorded(tuple((*each, FOREVER_S) for each in durations)),
        out=folder / "simulated",
    )
    assert len(hosts) == 2
    return result, simulated


def test_the_result_says_what_happened(asynchronous):
    result, _ = asynchronous
    assert (result.stopped, result.updates) == (Stopped.BUDGET, UPDATES)
    assert result.verdicts == {Outcome.APPLIED: UPDATES}
    assert result.mean_staleness > 0.1, "an order that a synchronous run could not have"
    assert set(result.scores) == {"loss", "accuracy"}
    assert result.failures == ()


def test_a_simulation_in_the_same_order_computes_the_same_bits(asynchronous):
    result, simulated = asynchronous
    assert course(result.out) == course(simulated.out)
    assert result.digest == simulated.digest


def test_the_replay_is_identical(asynchronous):
    result, _ = asynchronous
    found = replay(result.out, task=small_tasks.with_batch_norm)
    assert found.identical, found.differences


def test_a_killed_worker_costs_its_batch_and_comes_back(nodes, tmp_path):
    killed = []

    def observe(run):
        if not killed and run.server.version >= 5:
            killed.append(run.processes[0])
            os.kill(run.processes[0], signal.SIGKILL)
        member = run.server.ledger.members.get(0)
        if member is not None and member.incarnation == 1 and member.sequence >= 1:
            run.stop(Stopped.BUDGET)

    result = train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.01),
        runtime=Ray(seconds_per_job=0.05),
        workers=2,
        until=Until(seconds=DEADLINE_S),
        observe=observe,
        out=tmp_path / "run",
    )
    assert result.stopped is Stopped.BUDGET
    assert result.seconds < DEADLINE_S
    assert "Worker 0: its process is gone" in result.failures[0]
    assert result.failures[0].endswith("s without a step")
    records = list(read_trace(tmp_path / "run" / "trace.jsonl"))
    assert (0, 1) in {(r.worker, r.incarnation) for r in records if isinstance(r, Joined)}
    assert not set(result.verdicts) - {Outcome.APPLIED}
    found = replay(tmp_path / "run", task=small_tasks.blobs)
    assert found.identical, found.differences


@pytest.mark.parametrize("servers", [1, pytest.param(2, marks=pytest.mark.experiments)])
def test_who_is_asked_to_leave_delivers_and_comes_back(nodes, tmp_path, monkeypatch, servers):
    monkeypatch.setattr(_backoff, "_LONGEST_S", 1.0)

    def observe(run):
        member = run.server.ledger.members.get(0)
        if member is not None and member.incarnation and member.sequence >= 0:
            run.stop(Stopped.BUDGET)  # it is back, and has delivered

    result = train(
        small_tasks.sliceable,
        rule=rules.Momentum(lr=0.01),
        runtime=Ray(servers=servers, seconds_per_job=0.02, hung_after=2.0),
        workers=2,
        until=Until(seconds=DEADLINE_S),
        chaos=["preempt:worker=0,at=0.5s"],
        observe=observe,
        out=tmp_path / "run",
    )
    assert result.stopped is Stopped.BUDGET
    assert result.failures == ()
    assert [tally.preemptions for tally in result.workers] == [1, 0]
    records = prove(tmp_path / "run", small_tasks.sliceable)
    [left] = [record for record in records if isinstance(record, Left)]
    assert (left.worker, left.failed) == (0, False)
    back = next(r for r in records if isinstance(r, Joined) and r.incarnation == 1)
    assert back.time - left.time >= 1.0


FAULTS = (
    "kill:worker=0,at=0.3s",
    "pause:worker=1,at=0.1s,for=0.2s",
    "slow:worker=1,factor=2",
    "drop:p=0.1",
    "duplicate:p=0.1",
    "nan:worker=1,p=0.1",
)


@pytest.mark.experiments
@pytest.mark.parametrize("servers", [1, 2])
def test_every_fault_happens_and_is_proved(nodes, tmp_path, servers):
    out = tmp_path / "run"

    def observe(run):
        if run.newest.get(0) == 1 and run.server.version >= 150:
            run.stop(Stopped.BUDGET)  # it was killed, and is back

    result = train(
        small_tasks.sliceable,
        rule=rules.Momentum(lr=0.01),
        policy=policies.KAsync(2),
        runtime=Ray(servers=servers, seconds_per_job=0.004),
        workers=2,
        until=Until(seconds=DEADLINE_S),
        chaos=FAULTS,
        observe=observe,
        out=out,
    )
    assert result.seconds < DEADLINE_S
    assert [struck for _, struck in result.faults][:3] == [1, 1, 1]
    assert result.verdicts[Outcome.DUPLICATE] == result.faults[4][1] > 0
    assert result.verdicts[Outcome.REJECTED] == result.faults[5][1] > 0
    assert result.faults[3][1] > 0
    found = audit(out)
    assert found.holds, [promise.violations for promise in found.promises]
    again = replay(out, task=small_tasks.sliceable)
    assert again.identical, again.differences


def test_an_error_of_the_task_in_a_worker_is_shown(nodes):
    with pytest.raises(RunFailed, match=r"(?s)Worker 0.*the loss fell over"):
        train(
            small_tasks.failing_elsewhere,
            runtime=Ray(restarts=0),
            workers=1,
            until=Until(updates=5),
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"servers": 0}, "servers >= 1"),
        ({"min_workers": 0}, "min_workers >= 1"),
        ({"restarts": -1}, "restarts >= 0"),
        ({"patience": 0.0}, "patience > 0"),
        ({"seconds_per_job": 0.0}, "seconds_per_job > 0"),
        ({"compression": "zip"}, "compression bf16, int8, topk or None"),
    ],
    ids=repr,
)
def test_arguments_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=f"Expected {words}"):
        Ray(**options)


def test_what_a_run_cannot_have_is_refused_before_anything_starts(tmp_path):
    for rule, runtime, words in (
        (rules.YellowFin(), Ray(servers=2), "a rule that acts on every element alike"),
        (rules.SGD(), Ray(min_workers=3), "min_workers of at most the run's 2 workers"),
    ):
        with pytest.raises(ValueError, match=f"Expected {words}"):
            train(
                small_tasks.blobs,
                rule=rule,
                runtime=runtime,
                workers=2,
                until=Until(updates=1),
                out=tmp_path / "run",
            )
    assert not (tmp_path / "run").exists()


def test_without_the_packages_the_error_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"no ray and no pyzmq; .*pip install 'lagrad\[ray\]'"):
        Ray()


def test_a_compressed_run_is_not_replayed_as_if_it_were_whole(tmp_path):
    train(small_tasks.blobs, runtime=Simulator(), until=Until(updates=1), out=tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"compression": null', '"compression": "int8"'))
    with pytest.raises(ValueError, match="compression int8"):
        replay(tmp_path / "run", task=small_tasks.blobs)
