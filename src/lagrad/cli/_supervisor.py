"""Beside a training process that may die: started again from what its run has left.

The process that was asked for supervises, and imports nothing heavy; the run's server is its child.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import typer

from ._errors import FAILED, INTERRUPTED

_PARENT, _DIED_AT = "LAGRAD_SUPERVISOR", "LAGRAD_DIED_AT"
#: So many deaths with no version gained between them are no accident.
_IN_VAIN = 5


class Supervisor:
    """Starts the command of this process again, as a child, and sees to it that it ends."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._asked_to_end = False

    def run(self, out: Path, *, arguments: list[str], again: list[str]) -> int:
        """Carry the command out; its exit code.

        out: the run's folder. arguments: of the command. again: after a sudden death.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        signal.signal(signal.SIGTSTP, self._stand_still)
        died_at, in_vain, reached = None, 0, -1
        while True:
            code = self._life(arguments, died_at)
            if code >= 0:
                return code
            if self._asked_to_end:
                return INTERRUPTED
            died_at = time.monotonic()
            name = signal.Signals(-code).name
            version = _version_kept(out)
            if version is None:
                typer.secho(
                    f"lagrad: the server was killed ({name}) and has left no checkpoint in {out}; "
                    "start the run anew.",
                    fg="red",
                    err=True,
                )
                return FAILED
            in_vain = 0 if version > reached else in_vain + 1
            reached = max(version, reached)
            if in_vain >= _IN_VAIN:
                typer.secho(
                    f"lagrad: the server was killed ({name}) {in_vain + 1} times at version "
                    f"{version}; `lagrad {again[0]} --resume {out}` tries again.",
                    fg="red",
                    err=True,
                )
                return FAILED
            typer.echo(f"The server was killed ({name}); it is started again.", err=True)
            arguments = again

    def _life(self, arguments: list[str], died_at: float | None) -> int:
        own = len(sys.argv) - 1
        # What the child reads from ends when this process does, however that happens.
        theirs, ours = os.pipe()
        environment = {**os.environ, _PARENT: f"{os.getpid()}:{theirs}"}
        environment.pop(_DIED_AT, None)
        if died_at is not None:
            environment[_DIED_AT] = repr(died_at)
        try:
            # A group of its own: Ctrl+C reaches this process alone, which passes it on once.
            self._child = subprocess.Popen(
                [*sys.orig_argv[: len(sys.orig_argv) - own], *arguments],
                env=environment,
                process_group=0,
                pass_fds=[theirs],
            )
            os.close(theirs)
            if self._asked_to_end:
                self._child.terminate()
            return self._child.wait()
        finally:
            os.close(ours)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked_to_end = True
        if self._child is not None:
            # Not SIGINT, which the child could not take in order before it has its handlers.
            self._child.terminate()

    def _stand_still(self, number: int, frame: FrameType | None) -> None:
        """Ctrl+Z: all processes of the run stand still until this one goes on."""
        del number, frame
        if self._child is None:
            return
        os.killpg(self._child.pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.killpg(self._child.pid, signal.SIGCONT)


def supervised() -> bool:
    """Whether the parent of this process is a supervisor."""
    return os.environ.get(_PARENT, "").partition(":")[0] == str(os.getppid())


def died_at() -> float | None:
    """When the process before this one died, by the machine's clock; None for the first."""
    told = os.environ.get(_DIED_AT)
    return float(told) if told is not None and supervised() else None


def follow_supervisor() -> None:
    """End in order when the supervisor is gone."""
    pipe = int(os.environ[_PARENT].partition(":")[2])

    def wait() -> None:
        os.read(pipe, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _version_kept(out: Path) -> int | None:
    """The version of the newest checkpoint, None if there is none."""
    manifests = sorted((out / "checkpoints").glob("[0-9]*.json"), reverse=True)
    for path in manifests:
        try:
            return int(json.loads(path.read_bytes())["manifest"]["version"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
