"""Beside a training process that may die: another one goes on from what its run has left.

The process that was asked for imports what the run needs, and supervises; the run's server is
forked from it, so that one that follows a death begins at once. The fork server of the workers
outlives them both.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import typer

from lagrad._forking import go_on_forking

from ._codes import FAILED, INTERRUPTED

#: So many deaths with no version gained between them are no accident.
_IN_VAIN = 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
#: Of Linux' prctl: the signal that a process gets when its parent is gone.
_PR_SET_PDEATHSIG = 1


class Supervisor:
    """Has its command carried out by a process of its own, and sees to it that it ends."""

    def __init__(self) -> None:
        self._child: int | None = None
        self._asked_to_end = False

    def lead(self, out: Path, command: str) -> float | None:
        """Return in each process that is to carry the command out; in this one, never.

        out: the run's folder. command: its name. Returns: when the process before it died, by
        `time.monotonic`; None in the first. Raises: SystemExit with the exit code, in this process.
        """
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS[:3]:
            signal.signal(number, self._pass_on)
        signal.signal(signal.SIGTSTP, self._stand_still)
        died_at, in_vain, reached = None, 0, -1
        while True:
            code = self._life()
            if code is None:
                for number, handler in before.items():
                    signal.signal(number, handler)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
                return died_at
            if code >= 0:
                raise SystemExit(code)
            if self._asked_to_end:
                raise SystemExit(INTERRUPTED)
            died_at = time.monotonic()
            name = signal.Signals(-code).name
            version = _version_kept(out)
            if version is None:
                _say(
                    f"lagrad: the server was killed ({name}) and has left no checkpoint in {out}; "
                    "start the run anew."
                )
                raise SystemExit(FAILED)
            in_vain = 0 if version > reached else in_vain + 1
            reached = max(version, reached)
            if in_vain >= _IN_VAIN:
                _say(
                    f"lagrad: the server was killed ({name}) {in_vain + 1} times at version "
                    f"{version}; `lagrad {command} --resume {out}` tries again."
                )
                raise SystemExit(FAILED)
            typer.echo(f"The server was killed ({name}); it is started again.", err=True)

    def _life(self) -> int | None:
        """The exit code of a forked process; in that process, with signals waiting, None."""
        # What the child reads from ends when this process does, however that happens.
        theirs, ours = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        child = os.fork()
        # A group of its own: Ctrl+C reaches this process alone, which passes it on once.
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.setpgid(child, child)
        if child == 0:
            os.close(ours)
            _wake_without_parent()
            go_on_forking()
            threading.Thread(target=_end_with, args=(theirs,), daemon=True).start()
            return None
        os.close(theirs)
        self._child = child
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if self._asked_to_end:
            os.kill(child, signal.SIGTERM)
        try:
            _, status = os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(status)
        finally:
            self._child = None
            os.close(ours)
            # A worker that was stopped does not notice that its server is gone.
            with contextlib.suppress(ProcessLookupError):  # nobody is left
                os.killpg(child, signal.SIGCONT)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked_to_end = True
        if self._child is not None:
            # Not SIGINT, which the child could not take in order before it has its handlers.
            with contextlib.suppress(ProcessLookupError):  # it has ended this moment
                os.kill(self._child, signal.SIGTERM)

    def _stand_still(self, number: int, frame: FrameType | None) -> None:
        """Ctrl+Z: all processes of the run stand still until this one goes on."""
        del number, frame
        if self._child is None:
            return
        os.killpg(self._child, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.killpg(self._child, signal.SIGCONT)


def _say(words: str) -> None:
    typer.secho(words, fg="red", err=True)


def _wake_without_parent() -> None:
    """A process that stands still (Ctrl+Z) goes on when the supervisor is killed, and so ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)


def _end_with(pipe: int) -> None:
    """End in order when the supervisor is gone, with workers that stood still with it."""
    os.read(pipe, 1)
    os.killpg(os.getpgrp(), signal.SIGCONT)
    os.kill(os.getpid(), signal.SIGTERM)


def _version_kept(out: Path) -> int | None:
    """The version of the newest checkpoint, None if there is none."""
    manifests = sorted((out / "checkpoints").glob("[0-9]*.json"), reverse=True)
    for path in manifests:
        try:
            return int(json.loads(path.read_bytes())["manifest"]["version"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
