"""`lagrad run --ray`: scripts on the nodes of a cluster, which come and go."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

import small_scripts
from lagrad import audit
from lagrad.core import Outcome
from lagrad.runtimes import RunFailed, Stopped, Until, _backoff
from lagrad.sessions import Launch, launch, resume
from lagrad.trace import Judged, Left, Pushed, read_trace
from lagrad_command import Command

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def script(folder, *, epochs, inside):
    return small_scripts.write(
        folder,
        model="nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))",
        rule="rules.Momentum(lr=0.05, momentum=0.5)",
        gamma="1",
        scores=small_scripts.SCORES,
        epochs=epochs,
        inside=inside,
        last="os.getppid(), sys.argv[1:]",
    )


def run(folder, *, epochs="4", inside="pass", observe=None, **terms):
    path = script(folder, epochs=epochs, inside=inside)
    lines = []
    result = launch(
        Launch(script=path, **{"workers": 2, "ray": "auto", "out": folder / "run", **terms}),
        echo=lambda worker, line: lines.append((worker, line)),
        observe=observe,
    )
    return result, lines


def once_each(out):
    """Every push has one verdict, and what was applied was applied once."""
    keys = [
        (r.worker, r.incarnation, r.sequence)
        for r in read_trace(out / "trace.jsonl")
        if isinstance(r, Judged) and r.outcome is Outcome.APPLIED
    ]
    assert len(keys) == len(set(keys))


def test_workers_on_two_nodes_share_the_epochs(nodes, tmp_path):
    before = set(Path("/dev/shm").glob("lagrad-*"))
    result, lines = run(tmp_path, arguments=("--x", "1"))
    assert (result.stopped, result.epochs, result.updates) == (Stopped.ENDED, 4, 64)
    assert all(tally.verdicts[Outcome.APPLIED] for tally in result.workers)
    assert {"0.weight", "1.running_mean"} < set(result.state_dict)
    assert result.state_dict["1.num_batches_tracked"] > 0
    words = sorted(line.split(maxsplit=2) for _, line in lines)
    assert [w[0] for w in words] == ["done"] * 2
    assert len({w[1] for w in words}) == 2, "each has a relay of its own"
    assert all(w[2] == "['--x', '1']" for w in words)
    once_each(tmp_path / "run")
    assert set(Path("/dev/shm").glob("lagrad-*")) <= before


def test_a_target_ends_all_with_the_trained_model(nodes, tmp_path):
    result, _ = run(tmp_path, epochs="10**5", until=Until(target="loss<=1"))
    assert result.stopped is Stopped.TARGET
    assert not torch.isnan(result.params).any()


@pytest.mark.experiments
def test_a_run_goes_on_from_its_checkpoint(nodes, tmp_path):
    first, _ = run(tmp_path, until=Until(updates=20))
    assert (first.stopped, first.updates) == (Stopped.BUDGET, 20)
    second = resume(tmp_path / "run", until=Until(updates=100), echo=lambda worker, line: None)
    assert (second.stopped, second.epochs, second.updates) == (Stopped.ENDED, 4, 64)
    assert audit(tmp_path / "run").holds
    once_each(tmp_path / "run")


@pytest.mark.experiments
def test_a_script_that_raises_is_told_with_its_traceback(nodes, tmp_path):
    with pytest.raises(RunFailed, match="exit code 1"):
        run(tmp_path, inside="raise RuntimeError('the samples are bad')")
    failures = json.loads((tmp_path / "run" / "result.json").read_text())["failures"]
    assert failures == [f"Worker {n}: ended (exit code 1)" for n in (0, 1)] or failures == [
        f"Worker {n}: ended (exit code 1)" for n in (1, 0)
    ]


@pytest.mark.experiments
def test_a_killed_script_is_started_again_and_nothing_is_lost(nodes, tmp_path):
    mark = tmp_path / "mark"
    result, _ = run(
        tmp_path,
        inside=f"session.worker or epoch < 1 or os.path.exists({str(mark)!r}) or "
        f"(open({str(mark)!r}, 'w'), os.kill(os.getpid(), 9))",
        restarts=1,
    )
    assert result.failures == ("Worker 0: killed (exit code -9)",)
    assert result.epochs == 4
    once_each(tmp_path / "run")


@pytest.mark.experiments
def test_a_relay_that_is_lost_comes_back_without_counting_as_a_restart(nodes, tmp_path):
    mark = tmp_path / "mark"
    result, _ = run(
        tmp_path,
        inside=f"session.worker or epoch < 1 or os.path.exists({str(mark)!r}) or "
        f"(open({str(mark)!r}, 'w'), os.kill(os.getppid(), 9))",
    )
    (failure,) = result.failures
    assert failure.startswith("Worker 0: its process is gone")
    assert result.epochs == 4
    assert sum(isinstance(r, Left) for r in read_trace(tmp_path / "run" / "trace.jsonl")) >= 1
    once_each(tmp_path / "run")


def once(mark, what):
    """Worker 0 does something, once in the run, after the first epoch."""
    return (
        f"session.worker or epoch < 1 or os.path.exists({str(mark)!r}) or "
        f"(open({str(mark)!r}, 'w'), {what})"
    )


@pytest.mark.experiments
def test_a_script_that_stands_still_is_ended_and_started_again(nodes, tmp_path):
    inside = once(tmp_path / "mark", "os.kill(os.getpid(), 19)")
    result, _ = run(tmp_path, inside=inside, hung_after=4.0, restarts=1)
    (failure,) = result.failures
    assert failure.startswith("Worker 0: no sign of life for 4"), failure
    assert failure.endswith("it hung and was ended")
    assert result.epochs == 4
    once_each(tmp_path / "run")


@pytest.mark.experiments
def test_a_relay_that_stands_still_is_ended_and_comes_back(nodes, tmp_path):
    inside = once(tmp_path / "mark", "os.kill(os.getppid(), 19)")
    result, _ = run(tmp_path, inside=inside, hung_after=2.0)
    (failure,) = result.failures
    assert failure.startswith("Worker 0: its relay shows no sign of life for 2"), failure
    assert result.epochs == 4
    once_each(tmp_path / "run")


@pytest.mark.experiments
@pytest.mark.parametrize("who", ["getpid", "getppid"], ids=["script", "relay"])
def test_who_is_asked_to_leave_has_not_failed(nodes, tmp_path, monkeypatch, who):
    monkeypatch.setattr(_backoff, "_LONGEST_S", 0.5)
    inside = once(tmp_path / "mark", f"os.kill(os.{who}(), 15), time.sleep(9)")
    result, _ = run(tmp_path, inside=f"import time; {inside}")
    assert result.failures == ()
    assert [tally.preemptions for tally in result.workers] == [1, 0]
    assert result.epochs == 4
    once_each(tmp_path / "run")


@pytest.mark.experiments
def test_fewer_start_where_fewer_are_enough_and_too_few_give_up(nodes, tmp_path):
    (tmp_path / "a").mkdir()
    result, _ = run(tmp_path / "a", workers=3, min_workers=2)
    assert result.epochs == 4
    (tmp_path / "b").mkdir()
    with pytest.raises(RunFailed, match="Fewer than 3 processes have come for 4 s"):
        run(tmp_path / "b", workers=3, patience=4.0)


@pytest.mark.experiments
def test_ctrl_c_ends_a_run_with_its_books_closed(nodes, tmp_path):
    path = script(tmp_path, epochs="10**7", inside="print('step', os.getpid(), flush=True)")
    with Command(tmp_path / "run", "run", "-n", "1", "--ray", nodes.address, path) as command:
        line = next(line for line in command.process.stdout if "step" in line)
        command.process.send_signal(signal.SIGINT)
        code, said = command.end()
    assert code == 130, said
    with pytest.raises(ProcessLookupError):
        os.kill(int(line.split()[-1]), 0)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["stopped"] == "interrupted"


@pytest.mark.parametrize("terms", [{"min_workers": 3}, {"min_workers": 1, "ray": None}])
def test_numbers_that_do_not_fit_are_refused(tmp_path, terms):
    with pytest.raises(ValueError, match="Expected min_workers from 1 to 2, of a run on Ray"):
        run(tmp_path, **terms)


class LosesANode:
    """An observer that kills a node after some updates, and adds one after some more."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.lost_at = self.back_at = None

    def __call__(self, observed):
        version = observed.server.version
        if self.lost_at is None and version >= 100:
            self.lost_at = version
            (node,) = self.cluster.worker_nodes
            self.cluster.remove_node(node, allow_graceful=False)
        elif self.lost_at is not None and self.back_at is None and version >= self.lost_at + 200:
            self.back_at = version
            self.cluster.add_node(num_cpus=1, object_store_memory=80_000_000)


@pytest.mark.experiments
@pytest.mark.timeout(300)
def test_a_node_is_lost_and_another_one_comes(nodes, tmp_path):
    losing = LosesANode(nodes)
    result, _ = run(tmp_path, epochs="200", inside="import time; time.sleep(0.01)", observe=losing)
    assert losing.back_at is not None
    (failure,) = result.failures
    assert failure.endswith("its node is gone")
    assert result.epochs == 200
    lives = {
        (r.worker, r.incarnation)
        for r in read_trace(tmp_path / "run" / "trace.jsonl")
        if isinstance(r, Pushed)
    }
    assert len(lives) == 3, "both workers, and the one that came back"
    once_each(tmp_path / "run")
