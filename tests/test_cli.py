"""The command, as a person meets it: what it prints, how it ends, what it leaves behind."""

import json
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import small_tasks
from lagrad import specs
from lagrad.cli._commands import app

COMMANDS = sorted(typer.main.get_command(app).commands)
PNG = b"\x89PNG\r\n\x1a\n"

runner = CliRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """An empty current folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("COLUMNS", "100")
    return here


def lagrad(*arguments: str):
    return runner.invoke(app, arguments)


def simulate(task: str, *arguments: str):
    return lagrad("train", task, "--runtime", "simulator", *arguments)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """The folder of a run; not to be changed."""
    out = tmp_path_factory.mktemp("recorded") / "run"
    options = "--workers 3 --slow 0:6 --updates 40 --rule sgd:0.1 --policy k-batch-async:2"
    result = simulate("quadratic:noise=0.1", *options.split(), "--out", str(out))
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture
def run(recorded, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(recorded, tmp_path / "run"))


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_command_has_an_example(self, command):
        result = lagrad(command, "--help")
        assert result.exit_code == 0
        assert f"lagrad {command}" in result.stdout
        assert "Example" in result.stdout

    def test_help_needs_no_torch(self):
        code = (
            "import sys\nfrom lagrad.cli._commands import app\n"
            "from typer.testing import CliRunner\n"
            f"for command in {COMMANDS}:\n"
            "    done = CliRunner().invoke(app, [command, '--help'])\n"
            "    assert done.exit_code == 0, done.output\n"
            "assert 'torch' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_the_version_is_told(self):
        import lagrad as package

        assert lagrad("--version").stdout.strip() == package.__version__

    def test_nothing_asked_shows_the_help(self):
        result = lagrad()
        assert "Usage" in result.output
        assert all(command in result.output for command in COMMANDS)


class TestList:
    def test_every_name_has_a_line(self):
        result = lagrad("list")
        assert result.exit_code == 0
        lines = dict(
            line.strip().split(maxsplit=1)
            for line in result.stdout.splitlines()
            if len(line.split()) > 1
        )
        for kind in ("rule", "policy", "weight", "schedule", "set", "delays", "task"):
            for name in specs.catalogue(kind):
                assert name in lines, (kind, name)

    def test_arguments_are_shown_with_their_defaults(self):
        assert "workers, lr=0.1, damping=1.1" in lagrad("list", "rules").stdout

    def test_one_kind_alone(self):
        result = lagrad("list", "tasks")
        assert "lenet-mnist" in result.stdout
        assert "asynchronous" not in result.stdout

    def test_an_unknown_kind(self):
        result = lagrad("list", "things")
        assert result.exit_code == 2
        assert "things" in result.stderr


class TestTrain:
    def test_json_is_one_object_and_all_there_is_on_stdout(self, folder):
        result = simulate("quadratic", "--updates", "30", "--rule", "sgd:0.5", "--json")
        assert result.exit_code == 0
        summary = json.loads(result.stdout)
        assert result.stdout.count("\n") == 1
        assert (summary["stopped"], summary["updates"]) == ("budget", 30)
        out = folder / summary["out"]
        assert json.loads((out / "result.json").read_text()) == summary
        assert out.parent == folder / "runs"

    def test_words_go_to_stderr(self):
        result = simulate("quadratic", "--target", "loss<=1", "--rule", "sgd:0.1", "--ema", "0.5")
        assert result.exit_code == 0
        assert result.stdout == ""
        assert "Target reached after" in result.stderr
        assert "mean staleness" in result.stderr

    def test_without_a_budget_it_ends_after_1000_updates(self):
        summary = json.loads(simulate("parabola", "--rule", "sgd:0.01", "--json").stdout)
        assert summary["updates"] == 1000

    def test_a_run_goes_on_from_its_folder(self, folder):
        options = ("quadratic:noise=1", "--delays", "gamma", "--rule", "sgd:0.1")
        whole = json.loads(simulate(*options, "--updates", "90", "--json").stdout)
        simulate(*options, "--updates", "30", "--out", "run")
        result = lagrad("train", "--resume", "run", "--updates", "90", "--json")
        assert result.exit_code == 0, result.output
        again = json.loads(result.stdout)
        assert {**again, "out": ""} == {**whole, "out": ""}
        assert lagrad("audit", "run").exit_code == 0
        assert lagrad("replay", "run").exit_code == 0

    def test_a_damaged_checkpoint_is_named(self, folder):
        simulate("quadratic", "--updates", "30", "--out", "run")
        newest = max((folder / "run" / "checkpoints").glob("0*.safetensors"))
        newest.write_bytes(newest.read_bytes()[:-1])
        result = lagrad("train", "--resume", "run")
        assert result.exit_code == 0, result.output
        assert f"Warning: Checkpoint {newest.stem}" in " ".join(result.stderr.split())

    def test_equal_commands_give_equal_traces(self):
        arguments = ("quadratic:noise=1", "--delays", "stragglers", "--updates", "50", "--json")
        one, two = (
            json.loads(simulate(*arguments, "--out", name).stdout) for name in ("one", "two")
        )
        assert one.pop("out") != two.pop("out")
        assert one == two

    def test_divergence_has_code_1(self):
        result = simulate("quadratic", "--rule", "sgd:1e10", "--workers", "1")
        assert result.exit_code == 1
        assert "Diverged" in result.stderr
        assert "smaller learning rate" in result.stderr

    def test_a_task_of_ones_own(self):
        result = simulate("small_tasks:blobs", "--epochs", "2", "--json")
        assert json.loads(result.stdout)["epochs"] >= 2


SIM = ("--runtime", "simulator")
BAD_INPUT = {
    "unknown task": (["quadratik"], "Unknown task 'quadratik'; did you mean quadratic"),
    "unknown module": (["absent_module:task"], "Expected a module 'absent_module'"),
    "unknown task in a module": (["small_tasks:blob"], "near: blobs"),
    "not a task": (["small_tasks:not_a_task"], "to be a Task"),
    "unknown rule": (["quadratic", "--rule", "sgdd"], "Unknown rule 'sgdd'; did you mean sgd"),
    "unknown policy": (["quadratic", "--policy", "asinchronous"], "did you mean asynchronous"),
    "unknown buffers": (["quadratic", "--buffers", "meen"], "did you mean mean?"),
    "unknown delays": (["quadratic", "--delays", "gama"], "did you mean gamma"),
    "malformed rule": (["quadratic", "--rule", "sgd("], "Expected rule as name"),
    "negative lr": (["quadratic", "--rule", "sgd:lr=-0.1"], "lr >= 0, got -0.1"),
    "rule that cannot start": (["quadratic", "--rule", "dynamic:memory=tape"], "got 'tape'"),
    "weight that is none": (["quadratic", "--rule", "sgd:weight=3"], "weight, got 3"),
    "task argument": (["quadratic:conditon=3"], "no argument 'conditon'"),
    "zero workers": (["quadratic", "--workers", "0"], "at least 1 worker, got 0"),
    "quorum above workers": (
        ["quadratic", "--policy", "k-sync:5", "--workers", "4"],
        "quorum of at most 4",
    ),
    "all workers are backups": (
        ["quadratic", "--policy", "backup-workers:4", "--workers", "4"],
        "fewer backup workers than workers",
    ),
    "less data than a batch": (["small_tasks:with_large_batches"], "one batch of 51 samples"),
    "no data": (["small_tasks:without_data"], "empty data set"),
    "no parameters": (["small_tasks:without_parameters"], "trainable parameters"),
    "parameters of two dtypes": (["small_tasks:with_two_dtypes"], "parameters of one dtype"),
    "loss not a scalar": (["small_tasks:with_vector_loss"], "return a scalar, got shape"),
    "task that cannot be sent": (["small_tasks:unsendable"], "expected `model` to pickle"),
    "slow without a factor": (["quadratic", "--slow", "0"], "--slow WORKER:FACTOR"),
    "slow by a word": (["quadratic", "--slow", "0:very"], "--slow WORKER:FACTOR"),
    "slow worker too high": (["quadratic", "--slow", "4:6"], "a worker below 4"),
    "slow worker negative": (["quadratic", "--slow", "-1:6"], "workers >= 0, got -1"),
    "slow by zero": (["quadratic", "--slow", "0:0"], "factor > 0, got 0"),
    "slow twice": (["quadratic", "--slow", "0:2", "--slow", "0:3"], "each worker once"),
    "delays without a worker": (
        ["quadratic", "--delays", "recorded:((1.0,),)"],
        "Expected a worker from 0 to 0, got 1",
    ),
    "malformed target": (["quadratic", "--target", "loss=0.1"], "a target such as"),
    "target on a missing score": (
        ["quadratic", "--target", "accuracy>=0.9"],
        "one of the task's scores ['loss'], got 'accuracy'",
    ),
    "target without scores": (
        ["small_tasks:without_scores", "--target", "loss<=1"],
        "has no scores",
    ),
    "no seconds": (["quadratic", "--seconds", "0"], "seconds > 0, got 0"),
    "no updates": (["quadratic", "--updates", "0"], "updates > 0, got 0"),
    "negative epochs": (["quadratic", "--epochs", "-1"], "epochs > 0, got -1"),
    "ema of 1": (["quadratic", "--ema", "1"], "ema in [0, 1) or none, got 1"),
    "negative ema": (["quadratic", "--ema", "-0.1"], "ema in [0, 1) or none, got -0.1"),
    "no evaluations": (["quadratic", "--evaluate-every", "0"], "evaluate_every > 0"),
    "negative seed": (["quadratic", "--seed", "-1"], "seed >= 0 and below 2^63, got -1"),
    "job without seconds": (
        ["quadratic", *SIM, "--seconds-per-job", "0"],
        "seconds_per_job > 0, got 0",
    ),
    "a fault of nobody": (["quadratic", *SIM, "--chaos", "kill:worker=9"], "workers below 4"),
    "a server killed": (
        ["quadratic", "--chaos", "kill:server,at=60s", "--durability", "none"],
        "nobody would bring this server back",
    ),
    "unknown durability": (["quadratic", "--durability", "always"], "every-step"),
    "checkpoints before time": (["quadratic", "--checkpoint-every", "-1"], ">= 0 seconds, got -1"),
    "a run that is none": (["--resume", "nowhere"], "Expected the folder of a run"),
    "a task and a run": (["quadratic", "--resume", "nowhere"], "one of the two"),
    "a run set up anew": (["--resume", "nowhere", "--workers", "3"], "got --workers; a run goes"),
    "negative restarts": (["quadratic", "--restarts", "-1"], "restarts >= 0, got -1"),
    "a hang of no time": (["quadratic", "--hung-after", "0.5"], "on the command line 0"),
    "no number": (["quadratic", "--workers", "many"], "integer"),
    "unknown option": (["quadratic", "--worker", "3"], "--worker"),
    "no task": ([], "task"),
}


class TestBadInput:
    @pytest.mark.parametrize(("arguments", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
    def test_has_code_2_and_a_message_and_leaves_nothing_behind(self, arguments, message, folder):
        result = lagrad("train", *arguments)
        assert result.exit_code == 2, result.output
        assert message in " ".join(result.stderr.replace("│", " ").split())
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        assert not list(folder.iterdir())

    def test_a_folder_that_holds_something_is_left_alone(self, folder):
        (folder / "mine").write_text("mine")
        result = simulate("quadratic", "--out", str(folder))
        assert result.exit_code == 2
        assert f"{folder} holds something" in " ".join(result.stderr.split())
        assert [path.name for path in folder.iterdir()] == ["mine"]

    def test_a_file_in_place_of_the_folder_is_left_alone(self, folder):
        (folder / "mine").write_text("mine")
        result = simulate("quadratic", "--out", str(folder / "mine"))
        assert result.exit_code == 2
        assert (folder / "mine").read_text() == "mine"

    def test_what_the_simulator_can_run_may_be_unsendable(self):
        assert simulate("small_tasks:unsendable", "--updates", "3").exit_code == 0


class TestReplay:
    def test_identical(self, recorded):
        result = lagrad("replay", str(recorded))
        assert result.exit_code == 0
        assert result.stdout.startswith("Identical: ")

    def test_as_json(self, recorded):
        found = json.loads(lagrad("replay", str(recorded), "--json").stdout)
        ended = json.loads((recorded / "result.json").read_text())
        assert found["identical"] is True
        assert found["digest"] == ended["digest"]

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ('"tau":0', '"tau":5', "tau=5"),
            ('"weight":1.0', '"weight":0.5', "weight=0.5"),
            ('"outcome":"applied"', '"outcome":"dropped"', "DROPPED"),
            ('"version":0,"lease":1', '"version":0,"lease":7', "lease=7"),
            ('"digest":"', '"digest":"0', "digest='0"),
            ('"stopped":"budget"}', '"stopped":"budget"}', ""),
        ],
        ids=["staleness", "weight", "verdict", "lease", "parameters", "nothing"],
    )
    def test_a_tampered_record_is_named(self, run, old, new, named):
        trace = run / "trace.jsonl"
        text = trace.read_text()
        if named:
            assert old in text
        trace.write_text(text.replace(old, new, 1))
        result = lagrad("replay", str(run))
        assert result.exit_code == (1 if named else 0)
        assert named in result.stdout

    def test_a_loss_that_was_changed_is_named(self, run):
        trace = run / "trace.jsonl"
        lines = trace.read_text().splitlines()
        place, push = next(
            (i, json.loads(line)) for i, line in enumerate(lines) if '"is":"push"' in line
        )
        push["loss"] = 123.5
        lines[place] = json.dumps(push)
        trace.write_text("\n".join(lines) + "\n")
        result = lagrad("replay", str(run))
        assert result.exit_code == 1
        assert "loss=123.5" in result.stdout

    @pytest.mark.parametrize("kind", ["send", "verdict", "pull", "push", "join", "end"])
    @pytest.mark.parametrize("twice", [False, True], ids=["missing", "twice"])
    def test_a_line_that_is_missing_or_there_twice_is_noticed(self, run, kind, twice):
        trace = run / "trace.jsonl"
        lines = trace.read_text().splitlines(keepends=True)
        place = next(i for i, line in enumerate(lines) if f'"is":"{kind}"' in line)
        lines[place : place + 1] = [lines[place]] * (2 if twice else 0)
        trace.write_text("".join(lines))
        result = lagrad("replay", str(run))
        assert result.exit_code == 1, result.output
        assert "differs" in result.stdout

    def test_another_configuration_differs(self, run):
        config = run / "config.json"
        config.write_text(config.read_text().replace("lr=0.1", "lr=0.2"))
        assert lagrad("replay", str(run)).exit_code == 1

    def test_a_damaged_trace_has_code_2_and_its_line(self, run):
        trace = run / "trace.jsonl"
        trace.write_text(trace.read_text()[:-20])
        result = lagrad("replay", str(run))
        assert result.exit_code == 2
        assert "is not a record of a trace" in result.stderr

    def test_a_hopeless_learning_rate_is_warned_of(self, folder):
        result = simulate("quadratic", "--rule", "sgd:1e10", "--workers", "1", "--out", "run")
        assert result.stderr.startswith("Warning: Expected a learning rate of at most 2 for sgd")

    def test_a_folder_of_no_run(self, folder):
        result = lagrad("replay", str(folder))
        assert result.exit_code == 2
        assert "Expected the folder of a run" in result.stderr


class TestPlot:
    def test_writes_a_png_beside_the_run(self, run):
        result = lagrad("plot", str(run))
        assert result.exit_code == 0, result.stderr
        assert result.stdout.strip() == str(run / "run.png")
        assert (run / "run.png").read_bytes().startswith(PNG)

    @pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
    def test_writes_where_it_is_told(self, recorded, folder, suffix):
        out = folder / f"figure.{suffix}"
        assert lagrad("plot", str(recorded), "--out", str(out)).exit_code == 0
        assert out.stat().st_size > 1000

    @pytest.mark.parametrize(
        "arguments",
        [
            ("small_tasks:without_scores", "--updates", "5"),
            ("small_tasks:blobs", "--updates", "1", "--policy", "synchronous"),
            ("quadratic", "--rule", "sgd:1e10", "--workers", "1"),
            ("quadratic", "--policy", "k-batch-async:9", "--seconds", "1.5", "--workers", "2"),
        ],
        ids=["no scores", "one update", "diverged", "no update"],
    )
    def test_runs_with_little_in_them(self, arguments, folder):
        simulate(*arguments, "--out", "run")
        result = lagrad("plot", "run")
        assert result.exit_code == 0, result.output
        assert (folder / "run" / "run.png").read_bytes().startswith(PNG)

    def test_a_folder_of_no_run(self, folder):
        result = lagrad("plot", str(folder))
        assert result.exit_code == 2
        assert "Expected the folder of a run" in result.stderr
        assert not list(folder.iterdir())

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("config.json", None, "without config.json; give the folder"),
            ("metrics.jsonl", None, "without metrics.jsonl; give the folder"),
            ("trace.jsonl", None, "without trace.jsonl; give the folder"),
            ("config.json", "{}", "config.json as a run of this version writes it"),
            ("config.json", "\xff", "config.json as a run of this version writes it"),
            ("metrics.jsonl", "{}\n3\n", "line 1 of .*metrics.jsonl with seconds"),
            ("trace.jsonl", "{}\n", "is not a record of a trace"),
        ],
    )
    def test_a_folder_that_is_damaged(self, run, name, content, words):
        from lagrad.plots import plot_run

        (run / name).unlink()
        if content is not None:
            (run / name).write_bytes(content.encode("latin-1"))
        with pytest.raises(ValueError, match=words):
            plot_run(run, run / "run.png")
        result = lagrad("plot", str(run))
        assert result.exit_code == 2
        assert "lagrad: " in result.stderr
        assert not (run / "run.png").exists()

    def test_a_run_without_pushes(self, folder):
        simulate("quadratic", "--seconds", "0.5", "--out", "run")
        result = lagrad("plot", "run")
        assert result.exit_code == 2
        assert "workers pushed gradients" in result.stderr

    def test_an_unknown_format(self, recorded, folder):
        result = lagrad("plot", str(recorded), "--out", str(folder / "figure.xyz"))
        assert result.exit_code == 2
        assert "xyz" in result.stderr
        assert not list(folder.iterdir())


def test_a_race_is_drawn(tmp_path):
    from lagrad.plots import Curve, plot_race

    curves = [
        Curve("one", [(0.0, 0.1), (1.0, 0.9), (2.0, 0.99)], 2.0),
        Curve("two", [(0.0, 0.1), (3.0, 0.8)], None),
        Curve("none", [], None),
    ]
    path = tmp_path / "race.png"
    assert plot_race(curves, path, title="race", target=0.98, score="accuracy") == path
    assert path.read_bytes().startswith(PNG)


class TestConfiguration:
    def test_comes_back_as_the_setup(self, recorded):
        from lagrad import policies, rules
        from lagrad._configuration import read_configuration
        from lagrad.delays import Factors

        setup = read_configuration(recorded / "config.json")
        assert setup.task.name == "quadratic"
        assert setup.rule == rules.SGD(lr=0.1)
        assert setup.policy == policies.KBatchAsync(2)
        assert setup.delays == Factors(((0, 6.0),))
        assert (setup.workers, setup.until.updates, setup.seed) == (3, 40, 0)

    def test_names_the_versions(self, recorded):
        versions = json.loads((recorded / "config.json").read_text())["versions"]
        assert set(versions) >= {"lagrad", "torch", "python"}

    def test_of_a_run_that_was_given_a_task_object(self, folder):
        from lagrad import Until, replay, runtimes, train

        train(
            small_tasks.blobs,
            runtime=runtimes.Simulator(),
            workers=2,
            delays="gamma",
            until=Until(updates=5, target="loss<=0.001"),
            ema=0.5,
            out=folder / "run",
        )
        assert replay("run", task=small_tasks.blobs).identical
        with pytest.raises(ValueError, match="as an object"):
            replay("run")

    def test_of_a_run_that_was_given_ones_own_rule_policy_and_delays(self, folder):
        from dataclasses import dataclass

        from lagrad import Until, policies, replay, rules, runtimes, train
        from lagrad.delays import Equal

        @dataclass(frozen=True)
        class Mine(rules.SGD):
            pass

        class Yours(policies.Asynchronous):
            pass

        @dataclass(frozen=True)
        class Theirs(Equal):
            pass

        own = {"rule": Mine(lr=0.1), "policy": Yours(), "delays": Theirs()}
        until = Until(updates=5)
        train("quadratic", **own, runtime=runtimes.Simulator(), until=until, out=folder / "run")
        for missing in own:
            others = {kind: thing for kind, thing in own.items() if kind != missing}
            with pytest.raises(ValueError, match=f"the {missing} .* as an object"):
                replay("run", **others)
        assert replay("run", **own).identical


def test_a_bug_in_a_run_is_no_bad_usage_and_keeps_its_traceback(monkeypatch, folder):
    from lagrad import runtimes

    def buggy(*_, **__):
        raise ValueError("deep inside")

    monkeypatch.setattr(runtimes.Simulator, "run", buggy)
    arguments = ["train", "parabola", "--runtime", "simulator", "--out", str(folder / "run")]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, str(result.exception)) == (1, "deep inside")


OWN = """
from lagrad.tasks import quadratic
from small_tasks import make

def absent():
    return None.weight

def refused():
    raise ValueError("not today")

def unread():
    return open("absent.pt")

def misused():
    return quadratic(condition=0.5)

attribute, value, file = (make(model=m) for m in (absent, refused, unread))
"""


class TestErrorsOfOnesOwnCode:
    @pytest.mark.parametrize(
        ("name", "error", "function"),
        [
            ("attribute", AttributeError, "absent"),
            ("value", ValueError, "refused"),
            ("file", FileNotFoundError, "unread"),
            ("misused", ValueError, "misused"),
            ("dependency", ModuleNotFoundError, "<module>"),
        ],
    )
    def test_keep_their_traceback(self, name, error, function, folder, monkeypatch):
        (folder / "own_cli.py").write_text(OWN)
        (folder / "own_cli_broken.py").write_text("import own_cli_dependency\n")
        monkeypatch.syspath_prepend(folder)
        module = "own_cli_broken" if name == "dependency" else "own_cli"
        result = simulate(f"{module}:{name}")
        sys.modules.pop(module, None)
        assert (result.exit_code, type(result.exception)) == (1, error)
        where = traceback.extract_tb(result.exception.__traceback__)
        assert function in {frame.name for frame in where if module in frame.filename}


def test_a_type_error_that_nobody_raised_on_purpose_is_a_bug(monkeypatch):
    monkeypatch.setattr(specs, "parse", specs.kebab)
    result = simulate("quadratic", "--rule", "sgd")
    assert (result.exit_code, type(result.exception)) == (1, TypeError)


def test_an_interrupt_before_a_run_ends_without_a_traceback(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", "from lagrad.cli import main; main()", "train", "slow:task"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_an_interrupt_while_the_command_is_imported_ends_without_a_traceback():
    code = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "lagrad.cli._app":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from lagrad.cli import main
main()
"""
    command = [sys.executable, "-c", code, "train", "quadratic"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")
