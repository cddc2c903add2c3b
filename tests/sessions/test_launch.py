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


def test_workers_share_the_epochs_and_leave_a_run(trained):
    result, lines = trained
    assert result.stopped is Stopped.ENDED
    assert result.epochs == 4
    assert result.updates == 64
    assert all(tally.verdicts.total() for tally in result.workers)
    assert sorted(line for _, line in lines) == ["done 0 False", "done 1 False"]
    assert abs(result.state_dict["weight"].item() - 3) < 0.1
    saved = load_file(result.out / "checkpoints" / "model.safetensors")
    assert torch.equal(saved["weight"], result.state_dict["weight"])
    logged = (result.out / "logged.jsonl").read_text().splitlines()
    assert {"worker", "seconds", "version", "loss"} == set(json.loads(logged[0]))
    config = json.loads((result.out / "config.json").read_text())
    assert "momentum" in config["rule"]


def test_a_target_ends_all_processes_with_the_trained_model(tmp_path):
    path = script(tmp_path, epochs="10**4")
    result, lines = run(path, until=Until(target="loss<=1e-3"))
    assert result.stopped is Stopped.TARGET
    assert sorted(line for _, line in lines) == ["done 0 True", "done 1 True"]


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


@pytest.mark.experiments  # the descriptions alone: tests/strangers/test_sessions.py
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
        run(path, workers=1, until=Until(target="loss<=1e-3"))


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


#: What is told is that worker 1 has joined; worker 0 never does, and neither is to train.
EARLY = """
import os, signal
if os.environ["LAGRAD_WORKER"] == "1":
    import lagrad
    lagrad.join()
    print("step", flush=True)
signal.pause()
"""


def test_ctrl_c_before_there_is_a_training_leaves_a_result_too(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(EARLY)
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
def epoch(last=None):
    for number, a in enumerate(session.batches(x.split(8))):
        optimizer.zero_grad()
        ((model(a) - 3 * a) ** 2).mean().backward()
        optimizer.step()
        if number == last:
            break
def passed(name):
    while not os.path.exists(mark + name):
        time.sleep(0.01)
last, behind = {behind!r}[session.worker]
epoch(last)
if session.worker:
    passed("0")
    exec(behind)
    open(mark + str(session.worker), "w")
else:
    epoch()
    open(mark + "0", "w")
    for worker in range(1, session.workers):
        passed(str(worker))
print("done", session.worker)
"""
#: The number of each worker's last step, None for the epoch's, and what it does a long time later.
BEHIND = [
    (None, ""),
    (2, ""),  # stays away
    (None, "epoch()"),
    (2, "epoch()"),  # comes back after a break
    (2, "optimizer.step()"),  # a late step
]


def test_nobody_waits_for_ever_for_scripts_behind_their_loops(tmp_path):
    """The others go on when worker 0 has trained to its end; it ends when all of them have."""
    path = tmp_path / "train.py"
    path.write_text(WAITING.format(mark=str(tmp_path / "mark"), behind=BEHIND))
    terms = {"workers": len(BEHIND), "policy": Synchronous()}
    result, lines = run(path, **terms, out=tmp_path / "run")
    assert sorted(line for _, line in lines) == [f"done {n}" for n in range(len(BEHIND))]
    assert not result.failures
    assert result.workers[0].verdicts[Outcome.APPLIED] == 16
    assert audit(tmp_path / "run").holds


def command(path, out, *options, arguments=()):
    """The exit code and the summary of `lagrad run`."""
    words = ["run", *options, "--json", "--out", str(out), str(path), *arguments]
    outcome = CliRunner().invoke(app, words)
    return outcome.exit_code, json.loads(outcome.stdout.splitlines()[-1])


def test_the_command_passes_arguments_on_and_a_script_that_is_killed_does_not_fail_it(tmp_path):
    kill = "session.worker and os.kill(os.getpid(), 9)"
    path = script(tmp_path, epochs="int(sys.argv[2])", inside=kill)
    arguments = ("--epochs", "4")
    code, summary = command(path, tmp_path / "run", "-n", "2", arguments=arguments)
    assert code == 0
    assert 63 <= summary["updates"] <= 64, "the dying minibatch may be nobody's"
    assert len(summary["failures"]) == 1
    assert summary["given_up"] == []


def once(mark, worker, what):
    """Code by which a worker does something before its first step, in its first life alone."""
    return (
        f"session.worker != {worker} or os.path.exists({str(mark)!r}) or "
        f"(open({str(mark)!r}, 'w'), {what})"
    )


def test_who_fails_is_started_again_and_given_up_after_its_restarts(tmp_path):
    """Worker 1 is killed once, worker 2 fails once, and worker 3 always, which fails the run."""
    killed = once(tmp_path / "killed", 1, "os.kill(os.getpid(), 9)")
    failed = once(tmp_path / "failed", 2, "sys.exit(3)")
    path = script(
        tmp_path, before="session.worker == 3 and sys.exit(3)", inside=f"{killed}; {failed}"
    )
    code, summary = command(path, tmp_path / "run", "-n", "4", "--restarts", "1")
    assert sorted(summary["failures"]) == [
        "Worker 1: killed (exit code -9)",
        "Worker 2: ended (exit code 3)",
        "Worker 3: ended (exit code 3)",
        "Worker 3: ended (exit code 3)",
    ]
    assert (code, summary["given_up"]) == (1, [3])
    assert (summary["stopped"], summary["epochs"]) == ("ended", 4), "nothing is lost"
