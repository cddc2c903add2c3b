"""Signs of life of a process: counters that it shows to whoever watches it."""

import atexit
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
from torch import Tensor

from ._watch import Signs

#: Between two beats, in seconds.
EVERY_S = 0.25
#: How long a process whose server is gone may take to end by itself, in seconds.
_GRACE_S = 2.0


@dataclass(frozen=True)
class Pulse:
    """Counters that one process writes and others read or are told. memory: int64 [3], as `Signs`.

    A thread of the process makes the beats. It stands still where the whole process does: stopped
    (SIGSTOP), frozen, or kept by foreign code that never lets go of Python's lock. An endless loop
    or a deadlock in the task's code does not stop it; that shows as a job that goes on computing.
    Where Python ends, so do its threads, and nothing is shown from then on.
    """

    memory: Tensor

    @classmethod
    def allocate(cls) -> "Pulse":
        """New memory that another process can be given; it has no name and dies with us."""
        memory: Tensor = torch.zeros(3, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        return cls(memory)

    def clear(self) -> None:
        """For the next process; the one before has ended."""
        self.memory.zero_()

    def signs(self) -> Signs:
        """What the process shows now."""
        return Signs(*self.memory.tolist())

    def beat(self, pause: Callable[[], bool]) -> threading.Thread:
        """Begin to beat, in a thread that takes no signals and ends with the process at the latest.

        pause: lets time pass between two beats; whether there is to be another one.
        """
        counts = self.memory.numpy()
        counts[0] += 1  # at once: who is stopped before the first pause is over is watched, too
        changing, ended = threading.Lock(), threading.Event()

        def beating() -> None:
            while pause():
                with changing:
                    if not ended.is_set():
                        counts[0] += 1

        def end() -> None:
            with changing:
                ended.set()
                counts[0] = 0  # to let go of a large library takes seconds, and is no hang

        atexit.register(end)
        thread = threading.Thread(target=beating, daemon=True, name="lagrad-pulse")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return thread

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Show that a gradient is being computed."""
        counts = self.memory.numpy()
        counts[1] += 1
        yield
        counts[2] += 1


def while_connected(server: Connection) -> Callable[[], bool]:
    """Pauses of a pulse, for a process that ends when no server is left at its connection.

    One that is deadlocked would not notice.
    """
    end = select.poll()
    end.register(server.fileno(), 0)  # which tells of a hang-up alone

    def pause() -> bool:
        if not end.poll(EVERY_S * 1000):
            return True
        threading.Event().wait(_GRACE_S)
        os._exit(1)

    return pause
