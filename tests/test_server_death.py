"""The process of a run dies by SIGKILL: another one goes on with what was acknowledged."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lagrad.cli._codes import FAILED, INTERRUPTED
from lagrad.trace import Judged, read_trace
from lagrad_command import Command, kill_servers, until
from proved import prove

#: A command that is carried out by `first`, and after a death by `again`; arguments of Python.
COMMAND = """
import signal, sys
from pathlib import Path
from lagrad.cli._supervisor import Supervisor
signal.signal(signal.SIGTERM, signal.SIG_DFL)
died_at = Supervisor().lead(Path("."), "train")
exec(sys.argv[1 if died_at is None else 2])
"""


class TestTheSupervisor:
    @pytest.fixture
    def supervise(self, tmp_path):
        """Have Python code carried out under a supervisor; its exit code."""

        def run(code, again=""):
            command = [sys.executable, "-c", COMMAND, code, again]
            self.done = subprocess.run(
                command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False
            )
            return self.done.returncode

        return run

    DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    KEEP = (
        "import pathlib; folder = pathlib.Path('checkpoints'); folder.mkdir(exist_ok=True);"
        "path = folder / '00000000.json';"
        "version = int(path.read_text().split(':')[-1].strip('} ')) + 1 if path.exists() else 0;"
        'path.write_text(\'{"manifest": {"version": %d}}\' % version);'
    )

    @pytest.mark.parametrize("code", [0, 1, 2, 130])
    def test_a_process_that_ends_by_itself_is_not_started_again(self, supervise, code):
        assert supervise(f"raise SystemExit({code})", "raise SystemExit(7)") == code

    def test_after_a_death_it_goes_on(self, supervise):
        assert supervise(self.KEEP + self.DIE, "raise SystemExit(7)") == 7
        assert "The server was killed (SIGKILL); it is started again." in self.done.stderr

    def test_the_next_life_is_told_when_the_last_one_ended(self, supervise):
        begun = time.monotonic()
        told = f"import time; raise SystemExit(3 if {begun} < died_at <= time.monotonic() else 4)"
        assert supervise(self.KEEP + self.DIE, told) == 3

    def test_a_death_that_has_left_nothing_is_the_end(self, supervise):
        assert supervise(self.DIE, "raise SystemExit(7)") == FAILED
        assert "left no checkpoint" in self.done.stderr

    def test_deaths_in_vain_are_the_end(self, supervise):
        assert supervise(self.KEEP + self.DIE, self.DIE) == FAILED
        said = self.done.stderr
        assert said.count("it is started again") == 5
        assert "--resume" in said

    def test_deaths_between_which_something_is_gained_are_not(self, supervise):
        again = self.KEEP + "\nif version < 12: " + self.DIE
        assert supervise(self.KEEP + self.DIE, again) == 0

    def test_who_is_asked_to_end_passes_it_on(self, supervise):
        code = (
            "import os, signal, sys\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"
            "os.kill(os.getppid(), signal.SIGINT)\n"
            "while True: signal.pause()\n"
        )
        assert supervise(code) == INTERRUPTED

    def test_who_dies_of_being_asked_to_end_is_not_started_again(self, supervise):
        code = "import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\nsignal.pause()\n"
        assert supervise(code, "raise SystemExit(7)") == INTERRUPTED

    def test_what_a_dead_process_has_left_standing_still_goes_on(self, supervise, tmp_path):
        code = (
            "import os, pathlib, signal\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of a kernel that sees an orphan\n"
            "    os.kill(os.getpid(), signal.SIGSTOP)\n"
            "    pathlib.Path('went-on').touch()\n"
            "    os._exit(0)\n"
            "os.waitpid(child, os.WUNTRACED)\n" + self.DIE
        )
        assert supervise(code) == FAILED
        until((tmp_path / "went-on").exists)

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells a stopped process")
    def test_who_stands_still_ends_when_the_supervisor_is_killed(self, tmp_path):
        code = (
            "import os, pathlib, signal, sys\n"
            "def end(*_):\n"
            "    pathlib.Path('ended').touch()\n"
            "    sys.exit(130)\n"
            "signal.signal(signal.SIGTERM, end)\n"
            "os.kill(os.getppid(), signal.SIGTSTP)\n"
            "while True: signal.pause()\n"
        )
        command = [sys.executable, "-c", COMMAND, code, ""]
        with subprocess.Popen(command, cwd=tmp_path) as supervisor:
            _, status = os.waitpid(supervisor.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            assert not (tmp_path / "ended").exists()
            supervisor.kill()
        until((tmp_path / "ended").exists)


def train(out: Path, *options: str) -> Command:
    usual = ("--workers", "2", "--seconds-per-job", "0.01", "--rule", "sgd:0.05")
    return Command(out, "train", "small_tasks:blobs", *usual, *options)


@pytest.fixture
def start(tmp_path):
    """Start `lagrad train`; whatever is left of it dies with the test."""
    with contextlib.ExitStack() as commands:
        yield lambda *options: commands.enter_context(train(tmp_path / "run", *options))


def test_a_server_that_is_killed_goes_on_and_nothing_acknowledged_is_lost(start):
    command = start("--updates", "200", "--durability", "every-step", "--evaluate-every", "0.2")
    until(lambda: command.applied() > 50)
    killed = command.server()
    beside = set(command.children()) - {killed}
    assert len(beside) == 2, "the fork server and the tracker of resources"
    # A worker that is stopped does not see that its server is gone, and is ended all the same.
    os.kill(max(p for p in command.family() if os.getpgid(p) == killed), signal.SIGSTOP)
    os.kill(killed, signal.SIGKILL)
    before = (command.out / "trace.jsonl").read_bytes()
    before = before[: before.rindex(b"\n") + 1]
    another = until(lambda: command.server() not in (None, killed) and command.server())
    # Workers are forked from where they were before: nothing is imported anew.
    assert set(command.children()) - {another} == beside
    code, said = command.end()
    assert code == 0, said
    assert said.count("it is started again") == 1
    # What the first process had written is how the whole begins.
    assert (command.out / "trace.jsonl").read_bytes().startswith(before)
    result = json.loads((command.out / "result.json").read_text())
    assert (result["updates"], result["stopped"]) == (200, "budget")
    assert len([each for each in result["failures"] if "The server died" in each]) == 1
    prove(command.out)


def test_a_fault_on_purpose_kills_the_server(start):
    command = start("--updates", "150", "--chaos", "kill:server,at=0.5s", "--chaos", "drop:p=0.05")
    code, said = command.end()
    assert code == 0, said
    assert json.loads((command.out / "result.json").read_text())["faults"][0]["struck"] == 1
    prove(command.out)


def test_without_durability_a_death_is_the_end(start):
    command = start("--updates", "100000", "--durability", "none")
    until(lambda: command.applied() > 5 or command.process.poll() is not None)
    os.kill(command.process.pid, signal.SIGKILL)  # nobody stands beside it
    code, _ = command.end()
    assert code == -signal.SIGKILL
    assert not list((command.out / "checkpoints").glob("0*"))


def test_when_the_supervisor_is_killed_the_run_ends_in_order(start):
    command = start("--updates", "100000")
    until(lambda: command.applied() > 5)
    os.kill(command.process.pid, signal.SIGKILL)
    until(lambda: not command.family())
    assert json.loads((command.out / "result.json").read_text())["stopped"] == "interrupted"


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("durability", ["interval", "every-step"])
def test_many_deaths_at_random_moments(tmp_path, capsys, durability):
    draw, deaths, runs = random.Random(durability), 0, 0
    while deaths < int(os.environ.get("LAGRAD_TEST_DEATHS_OF_SERVERS", "50")):
        runs += 1
        options = ("--updates", "400", "--durability", durability, "--checkpoint-every", "0.5")
        command = train(tmp_path / f"{runs}", *options)
        written = kill_servers(command, draw, 3, within=350)
        deaths += len(written)
        code, said = command.end()
        assert code == 0, said
        if durability == "every-step":
            whole = (command.out / "trace.jsonl").read_bytes()
            assert all(whole.startswith(lines) for lines in written)
        prove(command.out)
        applied = [
            (record.worker, record.incarnation, record.sequence)
            for record in read_trace(command.out / "trace.jsonl")
            if isinstance(record, Judged) and record.outcome == "applied"
        ]
        assert len(applied) == len(set(applied)) == 400
    with capsys.disabled():
        print(f"\n{durability}: {runs} runs, {deaths} deaths of the server, all proved")
