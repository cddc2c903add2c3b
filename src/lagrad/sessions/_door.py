"""Where the processes of one host come in: a socket in a folder that is this user's alone."""

import contextlib
import fcntl
import os
import queue
import secrets
import shutil
import tempfile
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from lagrad.runtimes import bounded, shortage

from ._handshake import recognise
from ._joined import KEY, LIFE, SERVER, WORKER

#: Of doors that hold a lock.
_PREFIX = "lagrad-door-"
#: How long a stranger may keep the end of a run waiting, in seconds.
_GRACE_S = 10.0
#: So old is a door that nobody is still building, in seconds.
_OLD_S = 60.0


class Door:
    """A listener for the scripts of a run on this host, with a key that only they are told.

    folder: mode 0700, gone with the door, or with the next one if the process is killed; for what
    is too large for messages. key: the secret.
    """

    def __init__(self) -> None:
        parent = Path(_shared_memory() or tempfile.gettempdir())
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._lock = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        _sweep(parent)
        self.key = secrets.token_bytes(32)
        try:
            self._listener = Listener(str(self.folder / "server"), "AF_UNIX")
        except OSError:
            self._remove()
            raise
        self._newcomers: queue.SimpleQueue[Connection | OSError] = queue.SimpleQueue()
        self._closing = False
        self._porter = threading.Thread(target=self._admit, daemon=True)
        self._porter.start()

    def _admit(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError as error:
                if shortage(error):
                    self._newcomers.put(error)
                return  # closed, or there is no descriptor for anybody
            if self._closing:
                connection.close()
                return
            try:
                recognise(bounded(connection), self.key, side="server")
            except (AuthenticationError, EOFError, OSError):
                connection.close()  # a stranger
            else:
                self._newcomers.put(connection)

    def newcomer(self) -> Connection | None:
        """The next of those who have shown that they know the key, if any.

        Raises: OSError where nobody can come in any more, for want of descriptors.
        """
        try:
            found = self._newcomers.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, OSError):
            raise found
        return found

    def knock(self) -> Connection:
        """A connection of this process's own, as a script's would be."""
        connection = Client(str(self.folder / "server"), "AF_UNIX")
        recognise(connection, self.key, side="script")
        return connection

    def environment(self, worker: int, incarnation: int) -> dict[str, str]:
        """What tells a script's process where to come in, and as whom."""
        return {
            SERVER: str(self.folder / "server"),
            KEY: self.key.hex(),
            WORKER: str(worker),
            LIFE: str(incarnation),
        }

    def state(self, worker: int, incarnation: int) -> Path:
        """Where that process is to write its model's initial state."""
        return self.folder / f"state-{worker}-{incarnation}"

    def memory(self, worker: int, incarnation: int) -> Path:
        """The file of the memory shared with that process."""
        return self.folder / f"memory-{worker}-{incarnation}"

    def close(self) -> None:
        """Nobody comes in any more."""
        self._closing = True
        if self._porter.is_alive():
            with contextlib.suppress(OSError):
                Client(str(self.folder / "server"), "AF_UNIX").close()  # wakes the porter
        self._porter.join(_GRACE_S)
        self._listener.close()
        while not self._newcomers.empty():
            newcomer = self._newcomers.get()
            if isinstance(newcomer, Connection):
                newcomer.close()
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _sweep(parent: Path) -> None:
    """Remove the doors of servers that were killed: nobody holds their lock any more."""
    for path in parent.glob(f"{_PREFIX}*"):
        try:
            known = path.stat(follow_symlinks=False)
            if known.st_uid != os.getuid() or time.time() - known.st_mtime < _OLD_S:
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # just gone, or no door
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # its run goes on
        else:
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock)


def _shared_memory() -> str | None:
    """Where files are memory; elsewhere than on Linux, the usual place for temporary ones."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
