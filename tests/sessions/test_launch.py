"""`lagrad run`: scripts in several processes that train one model."""

import json
import signal
import socket
import textwrap

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import small_scripts
from lagrad import audit
from lagrad.cli._commands import app
from lagrad.core import Outcome, shuffled_order
from lagrad.policies import Synchronous
from lagrad.runtimes import RunFailed, Stopped, Until
from lagrad.sessions import Launch, launch
from lagrad_command import Command


def script(folder, **fields):
    return small_scripts.write(folder, **{"gamma": "1", "scores": small_scripts.SCORES, **fields})


def run(path, **terms):
    lines = []
    result = launch(
        Launch(script=path, **{"workers": 2, **terms}),
        echo=lambda worker, line: lines.append((worker, line)),
    )
    return result, lines


def test_workers_share_the_epochs_and_leave_a_run(tmp_path):
    result, lines = run(script(tmp_path), out=tmp_path / "run")
    assert result.stopped is Stopped.ENDED
    assert result.epochs == 4
    assert result.updates == 64
    assert all(tally.verdicts.total() for tally in result.workers)
    assert sorted(line for _, line in lines) == ["done 0 False", "done 1 False"]
    assert abs(result.state_dict["weight"].item() - 3) < 0.1
    saved = load_file(tmp_path / "run" / "checkpoints" / "model.safetensors")
    assert torch.equal(saved["weight"], result.state_dict["weight"])
    logged = (tmp_path / "run" / "logged.jsonl").read_text().splitlines()
    assert {"worker", "seconds", "version", "loss"} == set(json.loads(logged[0]))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "momentum" in config["rule"]


def test_a_target_ends_all_processes_with_the_trained_model(tmp_path):
    path = script(tmp_path, epochs="10**4")
    result, lines = run(path, until=Until(target="loss<=1e-3"))
    assert result.stopped is Stopped.TARGET
    assert sorted(line for _, line in lines) == ["done 0 True", "done 1 True"]


def test_a_killed_process_is_started_again_and_nothing_is_lost(tmp_path):
    mark = tmp_path / "mark"
    path = script(
        tmp_path,
        inside=f"session.worker or epoch < 1 or os.path.exists({str(mark)!r}) or "
        f"(open({str(mark)!r}, 'w'), os.kill(os.getpid(), 9))",
    )
    result, _ = run(path, restarts=1)
    assert result.failures == ("Worker 0: killed (exit code -9)",)
    assert result.epochs == 4


LOCAL = """
import torch, lagrad
from torch import nn
from lagrad import rules
torch.manual_seed(0)
x = torch.linspace(-1, 1, 64)[:, None]
session = lagrad.join()
model = session.wrap(nn.Linear(1, 1))
inner = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer = session.optimizer(rules.Momentum(lr=0.7, momentum=0.9), local=inner, steps=2)
for a, b in session.batches((x, 3 * x + 1), batch_size=4):
    optimizer.zero_grad()
    ((model(a) - b) ** 2).mean().backward()
    optimizer.step()
"""


def test_synchronous_local_steps_are_those_of_diloco(tmp_path):
    """Both workers' differences from one point are averaged, and the outer momentum steps."""
    path = tmp_path / "train.py"
    path.write_text(LOCAL)
    result, _ = run(path, policy=Synchronous())
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64)[:, None]
    model = torch.nn.Linear(1, 1)
    point = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    momentum = torch.zeros_like(point)
    for leases in shuffled_order(64, seed=0, epoch=0).view(4, 2, 8):
        moved = []
        for lease in leases:
            torch.nn.utils.vector_to_parameters(point.clone(), model.parameters())
            inner = torch.optim.SGD(model.parameters(), lr=0.1)
            for part in lease.split(4):
                inner.zero_grad()
                ((model(x[part]) - 3 * x[part] - 1) ** 2).mean().backward()
                inner.step()
            moved.append(point - torch.nn.utils.parameters_to_vector(model.parameters()).detach())
        momentum = 0.9 * momentum + sum(moved) / 2
        point = point - 0.7 * momentum
    assert result.updates == 4
    torch.testing.assert_close(result.params, point)


def test_processes_whose_models_differ_are_refused(tmp_path):
    path = script(tmp_path, model="nn.Linear(1, 1 + session.worker)")
    with pytest.raises(RunFailed, match="same shapes"):
        run(path)


def test_frozen_parameters_that_differ_are_refused(tmp_path):
    frozen = "nn.Sequential(nn.Linear(1, 1).requires_grad_(False), nn.Linear(1, 1))"
    path = script(tmp_path, model=frozen)
    seed = "torch.manual_seed(session.worker)"
    path.write_text(path.read_text().replace("model = ", f"{seed}\nmodel = "))
    with pytest.raises(RunFailed, match="frozen"):
        run(path)


def test_a_target_that_nothing_is_scored_for(tmp_path):
    path = script(tmp_path, epochs="1", scores="pass")
    with pytest.raises(RunFailed, match="evaluate_every"):
        run(path, until=Until(target="loss<=1e-3"))


def test_an_address_of_ray_that_does_not_answer_is_told(tmp_path):
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RunFailed, match="No Ray cluster answers"):
            run(script(tmp_path), ray=address, patience=0.5)


def interrupted(folder, path):
    """The folder and the exit code of a run to which Ctrl+C comes when a script says "step"."""
    out = folder / "run"
    with Command(out, "run", "-n", "2", path) as command:
        assert "step" in next(command.process.stdout)
        command.process.send_signal(signal.SIGINT)
        code, _ = command.end()
    return out, code


def test_ctrl_c_ends_a_run_with_its_books_closed(tmp_path):
    path = script(tmp_path, epochs="10**7", inside="print('step', flush=True)")
    out, code = interrupted(tmp_path, path)
    assert code == 130
    last = (out / "trace.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["stopped"] == "interrupted"
    assert (out / "result.json").is_file()


EARLY = {
    # What is told is that the script is there, and waits; the signal comes before any training.
    "before it joins": "import signal\nprint('step', flush=True)\nsignal.pause()",
    "before it trains": "import signal, lagrad\nlagrad.join()\nprint('step', flush=True)\n"
    "signal.pause()",
}


@pytest.mark.parametrize("text", EARLY.values(), ids=EARLY)
def test_ctrl_c_before_there_is_a_training_leaves_a_result_too(tmp_path, text):
    path = tmp_path / "train.py"
    path.write_text(text)
    out, code = interrupted(tmp_path, path)
    assert code == 130
    result = json.loads((out / "result.json").read_text())
    assert (result["stopped"], result["updates"]) == ("interrupted", 0)
    last = json.loads((out / "trace.jsonl").read_text().splitlines()[-1])
    assert (last["stopped"], last["version"]) == ("interrupted", 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("print('no join')", "must call"),
        ("import lagrad; lagrad.join(); lagrad.join()", "exit code 1"),
        ("raise SystemExit(3)", "exit code 3"),
    ],
)
def test_scripts_that_do_not_train(tmp_path, text, words):
    path = tmp_path / "train.py"
    path.write_text(textwrap.dedent(text))
    with pytest.raises(RunFailed, match=words):
        run(path)


def test_the_command_passes_the_scripts_own_arguments_on(tmp_path):
    path = script(tmp_path, epochs="int(sys.argv[2])")
    words = ["run", "-n", "1", "--json", "--out", str(tmp_path / "run"), str(path), "--epochs", "2"]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    summary = json.loads(outcome.stdout.splitlines()[-1])
    assert summary["epochs"] == 2


def test_a_script_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        Launch(script=tmp_path / "none.py")


WAITING = """
import os, time, torch, lagrad
from torch import nn
from lagrad import rules
mark = {mark!r}
torch.manual_seed(0)
x = torch.linspace(-1, 1, 64)[:, None]
session = lagrad.join()
model = session.wrap(nn.Linear(1, 1))
optimizer = session.optimizer(rules.SGD(lr=0.1))
def epoch():
    for number, a in enumerate(session.batches(x.split(8))):
        optimizer.zero_grad()
        ((model(a) - 3 * a) ** 2).mean().backward()
        optimizer.step()
        if session.worker and number == {last}:
            break
def passed(name):
    while not os.path.exists(mark + name):
        time.sleep(0.01)
epoch()
if session.worker:
    passed("0")
    {behind}
    open(mark + "1", "w")
else:
    epoch()
    open(mark + "0", "w")
    passed("1")
print("done", session.worker)
"""


@pytest.mark.parametrize(
    ("last", "behind"),
    [(2, "pass"), (99, "epoch()"), (2, "epoch()"), (2, "optimizer.step()")],
    ids=["stays away", "next epoch", "back after a break", "a late step"],
)
def test_nobody_waits_for_ever_for_a_script_behind_its_loop(tmp_path, last, behind):
    """Worker 1 goes on when worker 0 has trained to its end, worker 0 ends when it has."""
    path = tmp_path / "train.py"
    path.write_text(WAITING.format(mark=str(tmp_path / "mark"), last=last, behind=behind))
    result, lines = run(path, policy=Synchronous(), out=tmp_path / "run")
    assert sorted(line for _, line in lines) == ["done 0", "done 1"]
    assert not result.failures
    assert result.workers[0].verdicts[Outcome.APPLIED] == 16
    assert audit(tmp_path / "run").holds


@pytest.mark.parametrize(
    ("end", "code", "given_up"),
    [("sys.exit(3)", 1, [1]), ("os.kill(os.getpid(), 9)", 0, [])],
)
def test_a_script_that_fails_by_itself_fails_the_run_that_goes_on(tmp_path, end, code, given_up):
    """What is killed from outside does not; both are told."""
    path = script(tmp_path, inside=f"session.worker and {end}")
    words = ["run", "-n", "2", "--json", "--out", str(tmp_path / "run"), str(path)]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == code, outcome.output
    summary = json.loads(outcome.stdout.splitlines()[-1])
    assert 63 <= summary["updates"] <= 64, "the dying minibatch may be nobody's"
    assert len(summary["failures"]) == 1
    assert summary["given_up"] == given_up


def test_a_script_that_failed_and_was_started_again_is_well(tmp_path):
    mark = tmp_path / "mark"
    path = script(
        tmp_path,
        inside=f"session.worker or os.path.exists({str(mark)!r}) or "
        f"(open({str(mark)!r}, 'w'), sys.exit(3))",
    )
    result, _ = run(path, restarts=1)
    assert result.failures == ("Worker 0: ended (exit code 3)",)
    assert not result.given_up
