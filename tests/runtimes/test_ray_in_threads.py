"""What the Ray runtime does between its processes, with threads in their place: without Ray."""

import threading
from functools import partial
from itertools import count

import pytest

from crash import proved_after_death
from lagrad import audit, policies, resume, rules, train
from lagrad.core import Outcome
from lagrad.runtimes import Durability, Keeping, Ray, Simulator, Until
from lagrad.runtimes.ray import _host_copies, _shard
from lagrad.trace import Joined, Left, PutAside, read_trace
from proved import prove
from small_tasks import cross_entropy, is_poison, make, wide
from threads_cluster import Threads, instead_of_ray

pytest.importorskip("zmq")
pytest.importorskip("ray")
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]

FOREVER_S = 1e9
#: Long enough for slices; without scores no process is started.
TASK = make("wide", model=wide, evaluate=None)
OPTIONS = {"rule": rules.default_rule(4, lr=0.01), "workers": 4, "ema": 0.9}


@pytest.fixture
def nodes():
    with instead_of_ray("one", "two"):
        yield


def go(out, *, servers, updates=40, **options):
    options = {"policy": policies.KAsync(3), **OPTIONS, **options}
    there = Ray(servers=servers)
    return train(TASK, runtime=there, until=Until(updates=updates), out=out, **options)


@pytest.mark.parametrize("servers", [1, 2])
def test_workers_of_one_host_share_a_copy_and_compute_the_same_bits(
    nodes, tmp_path, servers, monkeypatch
):
    """Two workers on each of two nodes: of each version one copy crosses to who has none."""
    travelled, made = [], _host_copies.Parcel

    def parcel(order, spot):
        made_one = made(order, spot)
        travelled.append(made_one.travels)
        return made_one

    monkeypatch.setattr(_host_copies, "Parcel", parcel)
    monkeypatch.setattr(_host_copies, "_TIMEOUT_S", FOREVER_S)
    result = go(tmp_path / "run", servers=servers, policy=policies.Synchronous())
    simulated = train(
        TASK,
        runtime=Simulator(),
        policy=policies.Synchronous(),
        until=Until(updates=40),
        **OPTIONS,
    )
    assert result.digest == simulated.digest
    # The first that was sent the last version has it, too; the other may have been told.
    assert travelled.count(True) == 41 * servers
    assert 40 * servers <= travelled.count(False) <= 41 * servers
    prove(tmp_path / "run", TASK)


@pytest.mark.parametrize(
    ("servers", "durability"),
    [
        pytest.param(1, "interval", marks=pytest.mark.experiments),
        (1, "every-step"),
        (2, "interval"),
    ],
)
def test_a_run_whose_server_has_died_goes_on(nodes, tmp_path, servers, durability):
    out = tmp_path / "run"
    begin = partial(go, out, servers=servers)
    assert proved_after_death(begin, out, TASK, durability).updates == 40


@pytest.mark.parametrize("servers", [pytest.param(1, marks=pytest.mark.experiments), 2])
def test_faults_of_messages_are_counted_and_proved(nodes, tmp_path, servers):
    out = tmp_path / "run"
    asked = ("drop:p=0.1", "duplicate:p=0.2", "nan:worker=1,p=0.3", "slow:worker=2,factor=2")
    result = go(out, servers=servers, chaos=asked)
    struck = [count for _, count in result.faults]
    assert result.verdicts[Outcome.DUPLICATE] == struck[1] > 0
    assert result.verdicts[Outcome.REJECTED] == struck[2] > 0
    assert struck[0] > 0
    assert struck[3] == 1
    again = resume(out, until=Until(updates=70), task=TASK)
    assert again.updates == 70
    prove(out, TASK)


_calls = count()


def falls_over_once(model, batch):
    if next(_calls) == 12:
        raise RuntimeError("the loss fell over")
    return cross_entropy(model, batch)


@pytest.mark.experiments
def test_a_worker_whose_code_has_failed_comes_back_after_a_pause(nodes, tmp_path):
    task = make("once", loss=falls_over_once, evaluate=None)
    result = train(
        task,
        runtime=Ray(restarts=1, seconds_per_job=0.01),
        workers=2,
        until=Until(seconds=3.0),
        out=tmp_path / "run",
    )
    (words,) = result.failures
    assert "the loss fell over" in words
    times = {}
    for record in read_trace(tmp_path / "run" / "trace.jsonl"):
        if isinstance(record, Joined | Left):
            times.setdefault(record.worker, []).append(record.time)
    (_, left, again) = next(each for each in times.values() if len(each) == 3)
    assert again - left >= 0.9
    assert audit(tmp_path / "run").holds


def falls_over_a_sample(model, batch):
    if threading.current_thread() is not threading.main_thread() and is_poison(batch):
        raise ArithmeticError("the loss fell over a sample")
    return cross_entropy(model, batch)


@pytest.mark.experiments
def test_samples_over_which_workers_fail_cost_nobody_a_restart(nodes, tmp_path):
    """They are set aside, and those who fell over them are back."""
    task = make("poison", loss=falls_over_a_sample, evaluate=None)
    there = Ray(restarts=2, seconds_per_job=0.02)
    until = Until(seconds=9.0)
    result = train(task, runtime=there, workers=2, until=until, out=tmp_path / "run")
    assert len(result.failures) >= 3
    records = list(read_trace(tmp_path / "run" / "trace.jsonl"))
    put_aside = next(n for n, r in enumerate(records) if isinstance(r, PutAside))
    assert any(isinstance(r, Joined) for r in records[put_aside:]), "and who fell over it is back"
    assert audit(tmp_path / "run").holds


def test_both_shards_of_a_slice_do_not_stay_on_one_node(nodes, tmp_path, monkeypatch):
    """The other node is known only after they have been started."""
    known, placed = iter([["one"]]), []
    start, alive = Threads.start, Threads.alive

    def noted(cluster, key, kind, *arguments, node=None, **options):
        if kind is _shard.Shard:
            placed.append(node)
        start(cluster, key, kind, *arguments, node=node, **options)

    monkeypatch.setattr(Threads, "start", noted)
    monkeypatch.setattr(Threads, "alive", lambda cluster: next(known, None) or alive(cluster))
    result = go(tmp_path / "run", servers=2)
    assert placed == ["one"] * 4 + ["two"] * 2
    assert result.updates == 40
    assert audit(tmp_path / "run").holds


def test_slices_go_on_as_many_as_they_were(nodes, tmp_path):
    out = tmp_path / "run"
    go(out, servers=2, updates=5)
    config = out / "config.json"
    config.write_text(config.read_text().replace('"servers": 2', '"servers": 3'))
    with pytest.raises(ValueError, match=r"Expected a checkpoint of 3 slices, got 2; go on with"):
        resume(out, until=Until(updates=9), task=TASK)


def test_what_shards_cannot_write_down_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Expected durability interval or none for a server in"):
        go(tmp_path / "run", servers=2, keeping=Keeping(Durability.EVERY_STEP))
    assert not (tmp_path / "run").exists()
