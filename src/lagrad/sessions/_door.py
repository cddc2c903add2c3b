"""Where the processes of one host come in: a socket in a folder that is this user's alone."""

import os
import queue
import secrets
import shutil
import tempfile
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from ._joined import KEY, LIFE, SERVER, WORKER


class Door:
    """A listener for the scripts of a run on this host, with a key that only they are told.

    folder: mode 0700, gone with the door; for what is too large for messages.
    newcomers: connections of those who know the key.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lagrad-", dir=_shared_memory()))
        self.newcomers: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._key = secrets.token_bytes(32)
        self._listener = Listener(str(self.folder / "server"), "AF_UNIX", authkey=self._key)
        threading.Thread(target=self._admit, daemon=True).start()

    def _admit(self) -> None:
        while True:
            try:
                self.newcomers.put(self._listener.accept())
            except (AuthenticationError, EOFError, ConnectionError):
                continue  # a stranger
            except OSError:
                return  # closed

    def environment(self, worker: int, incarnation: int) -> dict[str, str]:
        """What tells a script's process where to come in, and as whom."""
        return {
            SERVER: str(self.folder / "server"),
            KEY: self._key.hex(),
            WORKER: str(worker),
            LIFE: str(incarnation),
        }

    def knock(self) -> Connection:
        """A connection of this process's own, as a script's would be."""
        return Client(str(self.folder / "server"), "AF_UNIX", authkey=self._key)

    def state(self, worker: int, incarnation: int) -> Path:
        """Where that process is to write its model's initial state."""
        return self.folder / f"state-{worker}-{incarnation}"

    def memory(self, worker: int, incarnation: int) -> Path:
        """The file of the memory shared with that process."""
        return self.folder / f"memory-{worker}-{incarnation}"

    def close(self) -> None:
        """Nobody comes in any more."""
        self._listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _shared_memory() -> str | None:
    """Where files are memory; elsewhere than on Linux, the usual place for temporary ones."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
