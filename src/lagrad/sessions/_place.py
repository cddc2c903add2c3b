"""One of a run's places for a script's process: its life, its connection, its memory."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from ._memory import Memory
from ._messages import ToScript, encode

#: How long a process may take to end after SIGTERM before it is killed, and its last lines to
#: come, in seconds.
_GRACE_S = 5.0


@dataclass(frozen=True)
class Ending:
    """How a process ended. lost: it did not end by itself, its node went; words: for people.

    asked: somebody else wanted it to leave (SIGTERM), which is no failure.
    """

    code: int
    words: str
    lost: bool = False

    @property
    def asked(self) -> bool:
        """See above."""
        return self.code == -signal.SIGTERM

    @classmethod
    def of_code(cls, code: int) -> "Ending":
        """By its exit code alone."""
        return cls(code, f"{'killed' if code < 0 else 'ended'} (exit code {code})")


@dataclass(eq=False)
class Place:
    """A worker's place; after a death another incarnation may take it.

    life: how often the place has joined the run, which an incarnation may do anew, less one.
    begun: whether this incarnation has asked for batches. told: whether it was told to stop.
    paused: whether the script is behind its loop. away: whether the run goes on without it.
    hung: why the process was ended by force, in words.
    """

    number: int
    incarnation: int = -1
    life: int = -1
    process: "subprocess.Popen[str] | None" = None
    connection: Connection | None = None
    memory: Memory | None = None
    begun: bool = False
    paused: bool = False
    away: bool = False
    told: bool = False
    hung: str = ""
    _reader: threading.Thread | None = field(default=None, repr=False)

    def spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        echo: Callable[[int, str], None],
        folder: Path | None,
    ) -> None:
        """Start the next incarnation in a folder. echo: gets each line that it prints."""
        self.renew()
        # A session of its own: Ctrl+C reaches the server alone, which decides what it means.
        self.process = subprocess.Popen(
            [sys.executable, "-u", *command],
            env={**os.environ, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(echo,), daemon=True)
        self._reader.start()

    def _read(self, echo: Callable[[int, str], None]) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        with self.process.stdout as printed:
            for line in printed:
                echo(self.number, line.rstrip("\n"))

    def renew(self) -> None:
        """The next incarnation, of which nothing is known yet."""
        self.incarnation += 1
        self.begun = self.paused = self.away = self.told = False
        self.hung = ""

    def send(self, message: ToScript) -> None:
        """Deliver a message; one to a process that has just died is lost, as the process is."""
        if self.connection is None:
            return
        try:
            self.connection.send_bytes(encode(message))
        except OSError:
            return  # its end of the connection will report the death

    def hang_up(self) -> None:
        """Close the connection and forget the memory."""
        if self.connection is not None:
            self.connection.close()
        self.connection = self.memory = None

    @property
    def alive(self) -> bool:
        """Whether there is a process, or one is being started."""
        return self.process is not None

    @property
    def ready(self) -> bool:
        """Whether there is a worker that a fault can hit."""
        return self.begun

    @property
    def pid(self) -> int:
        """Of the live process, on its host; 0 before it has started."""
        return 0 if self.process is None else self.process.pid

    def kill(self, words: str) -> None:
        """End a process that hears nothing any more; also one that is stopped ends by it."""
        if self.process is not None:
            self.hung = words
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def ended(self) -> Ending | None:
        """How the process ended, if it has since it was asked last, else None."""
        code = None if self.process is None else self.process.poll()
        if code is None:
            return None
        self._forget()
        return (
            Ending(code, f"{self.hung}; it hung and was ended")
            if self.hung
            else Ending.of_code(code)
        )

    def end(self) -> None:
        """End the process and all it has started, by force if need be."""
        if self.process is None:
            return
        for number, timeout in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, None)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(timeout)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()
        self._forget()

    def _forget(self) -> None:
        if self._reader is not None:
            self._reader.join(_GRACE_S)  # its last lines; what it has started may hold the pipe
        self.process = None
