"""A run of scripts goes on from its checkpoints, and comes through faults; its trace proves it."""

import json
import os
import signal
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

import fuzzed_decoders as fuzzed
import small_scripts
from lagrad import audit, specs
from lagrad.core import Outcome
from lagrad.runtimes import Backoff, Durability, Folder, Keeping, Stopped, Until, left_in
from lagrad.sessions import Launch, _door, launch, prepare, resume
from lagrad.sessions._messages import Begun
from lagrad.sessions._place import Place
from lagrad.sessions._script_model import ScriptModel
from lagrad.sessions._training import Training
from lagrad.trace import Judged, Pushed, Sent, read_trace
from lagrad_command import Command, until
from proved import prove


def silent(worker, line):
    pass


def run(path, **terms):
    return launch(Launch(script=path, **{"workers": 2, **terms}), echo=silent)


def applied_once(out):
    """A proved run has applied no gradient twice; how many it has applied."""
    applied = [
        (record.worker, record.incarnation, record.sequence)
        for record in prove(out, small_scripts.TASK)
        if isinstance(record, Judged) and record.outcome == "applied"
    ]
    assert len(applied) == len(set(applied))
    return len(applied)


def test_a_run_goes_on_and_is_the_one_its_trace_tells(tmp_path):
    """Its schedulers, epochs and trained parameters too: the script begins anew, the run does not.

    The epoch 0 of the second life has no batches, and holds what the first one has trained.
    """
    kept = tmp_path / "kept"
    path = small_scripts.write(
        tmp_path,
        before=f"session.worker or epoch or torch.save(session.state_dict(), {str(kept)!r})",
    )
    out = tmp_path / "run"
    first = run(path, out=out, until=Until(updates=40))
    assert (first.stopped, first.updates) == (Stopped.BUDGET, 40)
    second = resume(out, until=Until(updates=100), echo=silent)
    assert (second.stopped, second.updates, second.epochs) == (Stopped.ENDED, 64, 4)
    assert applied_once(out) == 64
    seen = torch.load(kept)
    assert all(torch.equal(seen[name], value) for name, value in first.state_dict.items())
    records = [*read_trace(out / "trace.jsonl")]
    epochs = {record.lease: record.epoch for record in records if isinstance(record, Sent)}
    for record in records:
        if isinstance(record, Pushed):
            assert record.rates == (0.5 ** epochs[record.lease],)


@pytest.mark.parametrize("change", [{}, {"rule": "sgd(lr=0.2)"}, {"fixed": "other"}])
def test_a_run_goes_on_with_the_script_that_it_began_with(tmp_path, change):
    """No process is needed to see that: what a script has described is compared."""
    begun = Begun(50, 8, 1, False)
    out = tmp_path / "run"

    def training(folder, described=fuzzed.DESCRIBED):
        save_file(fuzzed.STATE, tmp_path / "state")
        model = ScriptModel(described, tmp_path / "state")
        terms = Launch(script=small_scripts.write(tmp_path), workers=1)
        backoffs = [Backoff(restarts=0)]
        return Training(
            terms, [Place(0)], model, begun, backoffs=backoffs, folder=folder, observe=None
        )

    folder = Folder(out, keeping=Keeping())
    first = training(folder)
    first._start()
    first.close()
    folder.close()
    folder = Folder.reopen(out, left_in(out), keeping=Keeping())
    again = training(folder, msgspec.structs.replace(fuzzed.DESCRIBED, **change))
    if change:
        with pytest.raises(ValueError, match="the script as it was"):
            again.restore()
    else:
        again.restore()
    again.close()
    folder.close()


FAULTS = [
    "kill:worker=1,at=0.2",
    "pause:worker=0,at=0.1,for=0.2",
    "slow:worker=1,factor=2",
    "drop:p=0.05",
    "duplicate:p=0.1",
    "nan:p=0.05",
]


def test_faults_on_purpose_happen_are_counted_and_harm_nothing(tmp_path):
    out = tmp_path / "run"
    result = run(
        small_scripts.write(tmp_path, epochs="20"),
        out=out,
        restarts=1,
        seconds_per_job=0.003,
        chaos=tuple(specs.parse("fault", fault) for fault in FAULTS),
    )
    assert all(struck for _, struck in result.faults), result.faults
    assert result.failures == ("Worker 1: killed (exit code -9)",)
    assert result.verdicts[Outcome.REJECTED] == result.faults[-1][1]
    assert result.verdicts[Outcome.DUPLICATE] == result.faults[-2][1]
    applied_once(out)


class TestTheDoor:
    def terms(self, folder, **terms):
        return Launch(script=small_scripts.write(folder), **terms)

    def test_a_fault_of_nobody(self, tmp_path):
        with pytest.raises(ValueError, match="below 2"):
            self.terms(tmp_path, workers=2, chaos=(specs.parse("fault", "drop:p=0.1,worker=2"),))

    def test_a_script_that_is_asked_to_leave(self, tmp_path):
        with pytest.raises(ValueError, match="take kill"):
            self.terms(tmp_path, chaos=(specs.parse("fault", "preempt:worker=1,at=5s"),))

    def test_the_death_of_a_server_that_nobody_brings_back(self, tmp_path):
        terms = self.terms(tmp_path, chaos=(specs.parse("fault", "kill:server"),))
        with pytest.raises(ValueError, match="lagrad run"):
            prepare(terms)

    def test_a_folder_that_holds_something(self, tmp_path):
        with pytest.raises(ValueError, match="empty folder"):
            prepare(self.terms(tmp_path, out=tmp_path))

    def test_a_run_that_is_going_on(self, tmp_path):
        prepared = prepare(self.terms(tmp_path, out=tmp_path / "run"))
        for name in ("config.json", "metrics.jsonl"):
            (tmp_path / "run" / name).touch()
        with pytest.raises(ValueError, match="which is going on; wait"):
            resume(tmp_path / "run", echo=silent)
        prepared.folder.close()

    def test_what_is_no_run_of_scripts(self, tmp_path):
        with pytest.raises(ValueError, match="without config"):
            resume(tmp_path, echo=silent)


def scripts(folder: Path, path: Path, *options: str) -> Command:
    return Command(folder / "run", "run", "-n", "2", *options, path)


@pytest.mark.chaos
def test_a_server_that_is_killed_goes_on_and_nothing_acknowledged_is_lost(tmp_path):
    path = small_scripts.write(tmp_path, epochs="40")
    options = ("--durability", "every-step", "--seconds-per-job", "0.003", "--slow", "0:2")
    with scripts(tmp_path, path, *options) as command:
        until(lambda: command.applied() >= 40)
        os.kill(command.server(), signal.SIGKILL)
        before = (command.out / "trace.jsonl").read_bytes()
        code, said = command.end()
    assert code == 0, said
    assert said.count("it is started again") == 1
    # What the first process had written is how the whole begins.
    assert (command.out / "trace.jsonl").read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    result = json.loads((command.out / "result.json").read_text())
    assert (result["updates"], result["epochs"], result["stopped"]) == (640, 40, "ended")
    assert len([each for each in result["failures"] if "The server died" in each]) == 1
    assert applied_once(command.out) == 640


@pytest.mark.chaos
@pytest.mark.parametrize("durability", list(Durability)[1:])
@pytest.mark.parametrize("seed", range(int(os.environ.get("LAGRAD_TEST_DEATHS_OF_SCRIPTS", "5"))))
def test_deaths_of_servers_and_workers_together(tmp_path, durability, seed):
    path = small_scripts.write(tmp_path, epochs="60")
    options = ["--seconds-per-job", "0.003", "--seed", str(seed), "--restarts", "3"]
    options += ["--durability", durability.value, "--checkpoint-every", "0.2"]
    at = 0.1 + seed * 0.07
    for fault in (f"kill:server,at={at}", f"kill:server,at={2 * at}", *FAULTS):
        options += ["--chaos", fault]
    with scripts(tmp_path, path, *options) as command:
        code, said = command.end()
    assert code == 0, said
    assert said.count("it is started again") == 2
    assert all(
        each["struck"] for each in json.loads((command.out / "result.json").read_text())["faults"]
    )
    found = audit(command.out)
    assert found.holds, [promise.violations for promise in found.promises]


@pytest.mark.chaos
def test_no_script_outlives_a_server_that_is_killed(tmp_path):
    """Not even one that stands still, of which no message would tell it."""
    path = small_scripts.write(tmp_path, epochs="10**6")
    options = ("--durability", "none", "--seconds-per-job", "0.01")
    with scripts(tmp_path, path, *options) as command:
        until(lambda: command.applied() >= 4)
        children = command.children()
        assert len(children) == 2
        assert command.family().issuperset(children)
        os.kill(children[0], signal.SIGSTOP)
        command.process.kill()
        until(lambda: command.family().isdisjoint(children))


def test_the_next_door_clears_away_what_killed_servers_left(tmp_path, monkeypatch):
    monkeypatch.setattr(_door, "_shared_memory", lambda: str(tmp_path))
    going_on = _door.Door()
    left, young, others = (
        tmp_path / name for name in ("lagrad-door-old", "lagrad-door-new", "lagrad-x")
    )
    for path in (left, young, others):
        path.mkdir()
    (left / "memory-0-0").touch()
    for path in (left, others, going_on.folder):
        os.utime(path, (0, 0))
    another = _door.Door()
    assert sorted(tmp_path.iterdir()) == sorted([going_on.folder, another.folder, young, others])
    going_on.close()
    another.close()
    assert sorted(tmp_path.iterdir()) == sorted([young, others])
