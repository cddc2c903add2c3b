"""`lagrad` as a person starts it, whose processes can be killed."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import lagrad
import small_tasks

DEADLINE_S = 100


def until(condition):
    """Look again and again until it holds."""
    end, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < end, "the deadline has passed"
        pause.wait(0.02)
    return found


class Command:
    """`lagrad train` or `lagrad run` in a session of its own, as from a terminal.

    out: the run's folder. words: what is given besides. As a context what is left of it is killed
    at the end.
    """

    def __init__(self, out: Path, command: str, *words: str | Path, **environment: str) -> None:
        self.out = out
        source, tests = Path(lagrad.__file__).parents[1], Path(small_tasks.__file__).parent
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("lagrad"), command, "--out", out, *words],
            env={**os.environ, **environment, "PYTHONPATH": f"{source}{os.pathsep}{tests}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.family():
            os.kill(process, signal.SIGKILL)
        self.process.communicate()

    def children(self) -> list[int]:
        try:
            path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            return list(map(int, path.read_text().split()))
        except OSError:
            return []

    def server(self) -> int | None:
        """The process that trains: the child that leads a group."""
        with contextlib.suppress(ProcessLookupError):
            return next((each for each in self.children() if os.getpgid(each) == each), None)
        return None

    def family(self) -> set[int]:
        """All live processes of the session."""
        found = set()
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(session) == self.process.pid and state not in "ZX":
                found.add(int(path.parent.name))
        return found

    def applied(self) -> int:
        """Of the gradients, as far as the trace has come to its file."""
        trace = self.out / "trace.jsonl"
        return trace.read_bytes().count(b'"applied"') if trace.exists() else 0

    def end(self) -> tuple[int, str]:
        """Wait for it, and for all it has started; its exit code, and what it said of errors."""
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        until(lambda: not self.family())
        return self.process.returncode, errors


def kill_servers(
    command: Command, draw: random.Random, moments: int, *, within: int
) -> list[bytes]:
    """Kill the server when random numbers of gradients are applied; what each had written.

    moments: how often, at most. within: the numbers are below it. Returns: the lines that are
    whole, where another server goes on.
    """
    written = []
    for _ in range(moments):
        at = draw.randrange(1, within)
        until(lambda at=at: command.applied() >= at or command.process.poll() is not None)
        victim = command.server()
        if victim is None:
            break
        os.kill(victim, signal.SIGKILL)
        lines = (command.out / "trace.jsonl").read_bytes()
        until(lambda victim=victim: command.server() != victim)
        if command.process.poll() is None:
            written.append(lines[: lines.rfind(b"\n") + 1])
    return written
