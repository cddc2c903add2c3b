"""Processes of this machine: like the simulator, and nothing left behind whatever happens."""

import dataclasses
import json
import multiprocessing
import os
import re
import signal
from pathlib import Path

import pytest

import small_tasks
from lagrad import policies, replay, rules, train
from lagrad.core import Guard, Outcome, length
from lagrad.delays import Factors
from lagrad.runtimes import Local, Result, Run, Simulator, Stopped, Until
from lagrad.runtimes.local import _shared
from lagrad.runtimes.local._gathering import Gathering
from lagrad.trace import Ended, Joined, Judged, Left, Pushed, Sent, read_trace
from lagrad_command import Command, until

DEADLINE_S = 90.0


def recorded(out: Path) -> list:
    return list(read_trace(out / "trace.jsonl"))


@pytest.fixture(scope="module")
def synchronous(tmp_path_factory) -> dict[str, Result]:
    return {
        type(runtime).__name__: train(
            small_tasks.with_batch_norm,
            rule=rules.DynamicMomentum(lr=0.05),
            policy=policies.Synchronous(),
            runtime=runtime,
            workers=2,
            until=Until(updates=15),
            ema=0.9,
            out=tmp_path_factory.mktemp("synchronous") / "run",
        )
        for runtime in (Simulator(), Local())
    }


@pytest.mark.parametrize("name", ["Simulator", "Local"])
class TestContract:
    def test_the_result_says_what_happened(self, synchronous, name):
        result = synchronous[name]
        assert (result.stopped, result.updates) == (Stopped.BUDGET, 15)
        assert result.epochs == pytest.approx(15 * 2 * 8 / 50, rel=0.1)  # two short batches
        assert result.verdicts == {Outcome.APPLIED: 30}
        assert [tally.verdicts.total() for tally in result.workers] == [15, 15]
        assert result.mean_staleness == 0
        assert result.seconds > 0
        assert result.seconds_to_target is None
        assert result.failures == ()
        assert set(result.scores) == {"loss", "accuracy"}
        assert result.evaluations[-1].version == 15
        assert set(result.state_dict) == set(small_tasks.normalised().state_dict())

    def test_the_folder_holds_all_of_it(self, synchronous, name):
        out = synchronous[name].out
        assert {path.name for path in out.iterdir()} == {
            "config.json",
            "trace.jsonl",
            "metrics.jsonl",
            "checkpoints",
            "result.json",
        }
        assert json.loads((out / "result.json").read_text()) == synchronous[name].summary()
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert [row["version"] for row in rows] == [
            evaluation.version for evaluation in synchronous[name].evaluations
        ]

    def test_the_trace_can_be_read(self, synchronous, name):
        records = recorded(synchronous[name].out)
        assert records[-1] == Ended(15, "budget", synchronous[name].digest)
        assert sum(isinstance(record, Judged) for record in records) == 30

    def test_the_replay_is_identical(self, synchronous, name):
        found = replay(synchronous[name].out, task=small_tasks.with_batch_norm)
        assert found.identical, found.differences
        assert found.digest == synchronous[name].digest


def test_synchronous_processes_and_virtual_time_agree_to_the_bit(synchronous):
    assert synchronous["Local"].digest == synchronous["Simulator"].digest


@pytest.mark.parametrize("long", [0, 2**40], ids=["stepped together", "one by one"])
def test_an_asynchronous_run_with_a_straggler_replays_to_the_bit(tmp_path, monkeypatch, long):
    monkeypatch.setattr(_shared, "LONG", long)
    result = train(
        small_tasks.blobs,
        rule=rules.DynamicMomentum(lr=0.02),
        policy=policies.Asynchronous(),
        runtime=Local(seconds_per_job=0.01),
        workers=4,
        delays=Factors(((0, 6.0),)),
        until=Until(updates=80),
        out=tmp_path / "run",
    )
    assert result.updates == 80
    assert result.mean_staleness > 0
    # A fresh server that is told the same events in the same order computes the same bits.
    found = replay(tmp_path / "run", task=small_tasks.blobs)
    assert found.identical, found.differences
    assert found.digest == result.digest


@pytest.mark.parametrize(
    ("policy", "waits"), [(policies.Synchronous(), False), (policies.Asynchronous(), True)]
)
def test_a_push_waits_for_others_only_as_long_as_its_step_does(monkeypatch, policy, waits):
    """The step of several gradients is taken at once, and waits for nothing."""
    monkeypatch.setattr(_shared, "LONG", 0)
    asked, left = [], Gathering.left
    monkeypatch.setattr(Gathering, "left", lambda *said: asked.append(said) or left(*said))
    train(
        small_tasks.blobs,
        rule=rules.Momentum(lr=0.02),
        policy=policy,
        runtime=Local(),
        workers=2,
        until=Until(updates=5),
    )
    assert bool(asked) == waits


@dataclasses.dataclass(frozen=True)
class Hearing(policies.Asynchronous):
    """Asynchronous, and keeps what pushes tell of themselves, beside what is true."""

    told: list = dataclasses.field(default_factory=list)

    def accepts(self, push, ledger):
        del ledger
        self.told.append((push.finite, push.length, length(push.values)))
        return ""


@pytest.mark.parametrize(
    ("rule", "guard", "asks"),
    [
        (rules.default_rule(2, lr=0.01), Guard(), True),
        (rules.SGD(lr=0.01), Guard(longest=10.0), True),
        (rules.SGD(lr=0.01), Guard(), False),
    ],
    ids=["rule", "guard", "nobody"],
)
def test_workers_measure_their_gradients_if_the_server_asks(rule, guard, asks):
    policy = Hearing()
    train(
        small_tasks.blobs,
        rule=rule,
        policy=policy,
        guard=guard,
        runtime=Local(),
        workers=2,
        until=Until(updates=20),
    )
    assert len(policy.told) >= 20
    for finite, told, true in policy.told:
        assert finite
        assert told == (true if asks else None)


def kill(run: Run, worker: int) -> None:
    os.kill(run.processes[worker], signal.SIGKILL)


def test_a_killed_worker_costs_its_batch_and_comes_back(tmp_path):
    killed: list[int] = []

    def observe(run: Run) -> None:
        if not killed and run.server.version >= 5:
            killed.append(run.processes[0])
            kill(run, 0)
        member = run.server.ledger.members.get(0)
        if member is not None and member.incarnation == 1 and member.sequence >= 1:
            assert run.processes[0] not in killed
            run.stop(Stopped.BUDGET)

    result = train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.01),
        runtime=Local(restarts=1, seconds_per_job=0.05),
        workers=2,
        until=Until(seconds=DEADLINE_S),
        observe=observe,
        out=tmp_path / "run",
    )
    records = recorded(tmp_path / "run")
    left = next(i for i, record in enumerate(records) if isinstance(record, Left))
    assert (records[left].worker, records[left].incarnation) == (0, 0)
    assert (0, 1) in {(r.worker, r.incarnation) for r in records[left:] if isinstance(r, Joined)}
    assert lost_lease(records, left) in leases_sent(records[left:])
    pushed = [r for r in records[left:] if isinstance(r, Pushed)]
    assert {(push.worker, push.incarnation) for push in pushed} == {(0, 1), (1, 0)}
    assert not set(result.verdicts) - {Outcome.APPLIED}
    assert result.failures == ("Worker 0: killed (exit code -9)",)
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written["failures"] == list(result.failures)
    found = replay(tmp_path / "run", task=small_tasks.blobs)
    assert found.identical, found.differences


def test_the_rest_goes_on_until_the_last_worker_is_gone(tmp_path):
    version_at_first_death: list[int] = []

    def observe(run: Run) -> None:
        if not version_at_first_death and run.server.version >= 5:
            version_at_first_death.append(run.server.version)
            kill(run, 0)
        elif set(run.processes) == {1} and run.server.version >= version_at_first_death[0] + 10:
            kill(run, 1)

    with pytest.raises(RuntimeError, match="Every worker is gone"):
        train(
            small_tasks.blobs,
            rule=rules.SGD(lr=0.01),
            runtime=Local(restarts=0, seconds_per_job=0.01),
            workers=2,
            until=Until(seconds=DEADLINE_S),
            observe=observe,
            out=tmp_path / "run",
        )
    assert not multiprocessing.active_children()
    records = recorded(tmp_path / "run")
    left = [i for i, record in enumerate(records) if isinstance(record, Left)]
    assert [records[i].worker for i in left] == [0, 1]
    between = records[left[0] : left[1]]
    assert sum(isinstance(record, Pushed) for record in between) >= 5
    assert lost_lease(records, left[0]) in leases_sent(between)
    assert records[-1].stopped == "failed"


def lost_lease(records: list, left: int) -> int:
    """The lease that the worker that left at this place had not answered."""
    worker = records[left].worker
    own = [r for r in records[:left] if isinstance(r, Sent | Pushed) and r.worker == worker]
    assert isinstance(own[-1], Sent)
    return own[-1].lease


def leases_sent(records: list) -> list[int]:
    return [record.lease for record in records if isinstance(record, Sent)]


def test_an_error_of_the_task_in_a_worker_is_shown():
    with pytest.raises(RuntimeError, match=r"(?s)Worker 0: .*falls_over.*the loss fell over"):
        train(small_tasks.failing, runtime=Local(restarts=0), workers=1, until=Until(updates=5))
    assert not multiprocessing.active_children()


def test_an_end_of_file_of_the_task_is_not_the_end_of_the_server():
    with pytest.raises(RuntimeError, match=r"(?s)Worker 0: .*the samples ran out"):
        train(small_tasks.ending, runtime=Local(restarts=0), workers=1, until=Until(updates=5))


@pytest.mark.parametrize("deaths", ["one", "all"])
def test_the_evaluator_is_replaced_once(tmp_path, monkeypatch, deaths):
    monkeypatch.setenv("LAGRAD_TEST_MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("LAGRAD_TEST_DEATHS", deaths)

    def run():
        return train(
            small_tasks.deadly_scores,
            rule=rules.SGD(lr=0.1),
            runtime=Local(),
            workers=1,
            until=Until(target="accuracy>=0.5", seconds=DEADLINE_S),
            evaluate_every=0.01,
            out=tmp_path / "run",
        )

    if deaths == "one":
        result = run()
        assert result.reached
    else:
        with pytest.raises(RuntimeError, match="The evaluator is gone"):
            run()
    assert not multiprocessing.active_children()
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    died = ["The evaluator: killed (exit code -9)"]
    assert written["failures"] == (died if deaths == "one" else died * 2)
    assert (tmp_path / "run" / "checkpoints" / "model.safetensors").is_file()


@pytest.mark.parametrize("runtime", [Simulator(), Local()], ids=lambda r: type(r).__name__)
def test_model_and_data_are_built_once_in_this_process(runtime):
    small_tasks.followed.clear()
    until = Until(updates=1, target="accuracy>=2")
    train(small_tasks.counted, runtime=runtime, workers=1, until=until, evaluate_every=1e9)
    built = sorted(name for name in small_tasks.followed if name != "evaluate")
    assert built == ["data", "model"]
    # One before the run, for the names of the scores; the last one is the evaluator's in Local.
    assert small_tasks.followed.count("evaluate") == (1 if isinstance(runtime, Local) else 2)


@pytest.mark.parametrize("runtime", [Simulator(0.1), Local(0, 0.1)], ids=["Simulator", "Local"])
def test_without_scores_there_is_no_evaluator_but_the_metrics_are_kept(runtime, tmp_path):
    processes: set[int] = set()

    def observe(run: Run) -> None:
        processes.update(process.pid or 0 for process in multiprocessing.active_children())

    result = train(
        small_tasks.without_scores,
        rule=rules.SGD(lr=0.1),
        runtime=runtime,
        workers=1,
        until=Until(updates=8),
        evaluate_every=0.3,
        observe=observe,
        out=tmp_path / "run",
    )
    assert result.evaluations == ()
    assert len(processes) == isinstance(runtime, Local)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    versions = [row["version"] for row in rows]
    assert len(rows) >= 2
    assert versions == sorted(set(versions))
    assert versions[-1] == rows[-1]["applied"] == 8
    assert rows[-1]["training_loss"] > 0
    assert rows[-1]["staleness"] == [[0, 0.0, 0]]


def test_a_task_that_cannot_be_sent_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(TypeError, match="expected `model` to pickle"):
        train(
            small_tasks.unsendable,
            runtime=Local(),
            until=Until(updates=5),
            out=tmp_path / "run",
        )
    assert not multiprocessing.active_children()
    assert not (tmp_path / "run").exists()
    result = train(small_tasks.unsendable, runtime=Simulator(), until=Until(updates=5))
    assert result.updates == 5


@pytest.mark.parametrize(
    "options",
    [
        {"restarts": -1},
        {"restarts": 1.5},
        {"seconds_per_job": 0.0},
        {"seconds_per_job": "1"},
        {"hung_after": 0.5},
        {"hung_after": "a"},
    ],
    ids=repr,
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="Expected"):
        Local(**options)


def training(command: Command) -> bool:
    metrics = command.out / "metrics.jsonl"
    return ended(command) or (metrics.exists() and metrics.stat().st_size > 0)


def starting(command: Command) -> bool:
    # More than the command, its server, the fork server and the tracker of resources.
    return ended(command) or len(command.family()) > 4


def ended(command: Command) -> bool:
    return command.process.poll() is not None


@pytest.mark.parametrize(
    ("when", "number", "to_all"),
    [
        (training, signal.SIGINT, True),
        # What a SIGTERM becomes is the supervisor's doing: tests/test_server_death.py.
        pytest.param(training, signal.SIGTERM, False, marks=pytest.mark.experiments),
        (starting, signal.SIGINT, True),
    ],
    ids=["Ctrl+C", "kill", "Ctrl+C while workers start"],
)
def test_a_signal_ends_the_command_and_leaves_nothing_behind(tmp_path, when, number, to_all):
    shared_before = set(os.listdir("/dev/shm"))
    options = "--workers 2 --seconds 300 --seconds-per-job 0.01 --evaluate-every 0.05"
    words = ("train", "small_tasks:blobs", *options.split())
    with Command(tmp_path / "run", *words) as command:
        until(lambda: when(command))
        family = command.family()
        assert len(family) > 1
        (os.killpg if to_all else os.kill)(command.process.pid, number)
        code, errors = command.end()
    assert code == 130, errors
    assert "Traceback" not in errors
    assert "Interrupted" in errors

    ours = re.compile("|".join(rf"_{process}(_|$)" for process in family))
    new = set(os.listdir("/dev/shm")) - shared_before
    assert not [name for name in new if ours.search(name)]
    assert not list(command.out.rglob("*.tmp"))
    for log in ("trace.jsonl", "metrics.jsonl"):
        for line in (command.out / log).read_text().splitlines(keepends=True):
            assert line.endswith("\n")
            json.loads(line)
    assert json.loads((command.out / "result.json").read_text())["stopped"] == "interrupted"
    assert recorded(command.out)[-1].stopped == "interrupted"


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_worker_killed_while_it_starts_costs_nothing_else(restarts):
    killed: list[int] = []

    def observe(run: Run) -> None:
        if not killed:
            assert run.server.version == 0
            killed.append(run.processes[0])
            kill(run, 0)

    result = train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.01),
        runtime=Local(restarts=restarts),
        workers=2,
        until=Until(updates=20, seconds=DEADLINE_S),
        observe=observe,
    )
    assert killed
    assert result.updates == 20
    assert result.failures == ("Worker 0: killed (exit code -9)",)
    if not restarts:
        assert not result.workers[0].verdicts


class Pairs(policies.Asynchronous):
    """Nobody works alone."""

    def may_pull(self, worker, ledger):
        del worker
        return len(ledger.members) > 1


def test_who_is_released_by_a_join_goes_on(tmp_path):
    killed: list[int] = []

    def observe(run: Run) -> None:
        if not killed and run.server.version >= 5:
            killed.append(1)
            kill(run, 1)

    train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.01),
        policy=Pairs(),
        runtime=Local(restarts=1, seconds_per_job=0.05),
        workers=2,
        until=Until(updates=60, seconds=DEADLINE_S),
        observe=observe,
        out=tmp_path / "run",
    )
    records = recorded(tmp_path / "run")
    rejoined = next(
        i for i, r in enumerate(records) if isinstance(r, Joined) and r.incarnation == 1
    )
    assert any(isinstance(r, Pushed) and r.worker == 0 for r in records[rejoined + 4 :])
