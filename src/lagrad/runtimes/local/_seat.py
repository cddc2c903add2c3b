"""The server's side of one worker process: its memory, its pipe, its life and death."""

import os
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from lagrad._forking import forking, masked
from lagrad.core import Unreadable
from lagrad.runtimes.wire._bounded import bounded, receive

from ._worker import FromWorker, Job, Slot, Stop, ToWorker, decode, encode, work

#: How long a process may take to end by itself before it is killed, in seconds.
_GRACE_S = 3.0


@dataclass(eq=False)
class Seat:
    """A place for one worker; after a death another incarnation may sit down in it.

    number: of the worker. slot: the shared memory. job: what each incarnation is told.
    """

    number: int
    slot: Slot
    job: Job
    incarnation: int = -1
    ready: bool = False
    hung_up: bool = False
    connection: Connection | None = None
    process: BaseProcess | None = None

    def spawn(self) -> None:
        """Start the next incarnation."""
        context = forking()
        ours, theirs = context.Pipe()
        self.slot.pulse.clear()
        self.incarnation += 1
        process = context.Process(
            target=work,
            args=(
                theirs,
                self.number,
                self.slot,
                self.job,
                dict(os.environ),  # of now; whom it is forked from has that of its own start
            ),
            name=f"lagrad-worker-{self.number}",
            daemon=True,
        )
        # Ctrl+C in a terminal reaches every process of the group; the server decides what it means.
        # A mask is inherited, so that this holds from the process's first moment on.
        try:
            with masked(signal.SIGINT):
                process.start()
        finally:
            theirs.close()  # so that the end of the process is the end of the pipe
        self.connection, self.process, self.hung_up = bounded(ours), process, False

    @property
    def occupied(self) -> bool:
        """Whether a process sits here."""
        return self.process is not None

    def send(self, message: ToWorker) -> None:
        """Deliver a message; one to a process that has just died is lost, as the process is."""
        assert self.connection is not None
        try:
            self.connection.send_bytes(encode(message))
        except OSError:
            return  # its end of the pipe will report the death

    def receive(self) -> FromWorker | None:
        """The next message, or None if the process is gone, or says what no worker does."""
        assert self.connection is not None
        try:
            return decode(receive(self.connection))
        except (EOFError, OSError, Unreadable):
            self.hung_up = True
            return None

    def kill(self) -> None:
        """End a process that hears nothing any more; also one that is stopped ends by it."""
        if self.process is not None:
            self.process.kill()

    def dismiss(self) -> None:
        """Tell the process to end and hang up; `bury` sees to it."""
        if self.connection is not None:
            self.send(Stop())
            self.connection.close()
            self.connection = None
            if not (self.ready or self.hung_up) and self.process is not None:
                self.process.kill()  # it is still importing, and has nothing to save
        self.ready = False

    def bury(self) -> int | None:
        """Wait for the end of a dismissed process, force it if need be; its exit code."""
        if self.process is None:
            return None
        self.process.join(_GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        code = self.process.exitcode
        self.process.close()
        self.process = None
        return code


def ending(code: int | None) -> str:
    """How a process ended that said nothing, in words."""
    return f"{'killed' if code is not None and code < 0 else 'ended'} (exit code {code})"
