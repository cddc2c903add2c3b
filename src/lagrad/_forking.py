"""How processes begin that have torch and lagrad at once.

They are forked from a fork server, which has imported both and has done nothing else. This file
imports neither, so that a command can start the server while it imports them itself.
"""

import ctypes
import multiprocessing
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any

_PRELOADED = "lagrad.runtimes.local._worker"


def forking(*more: str) -> ForkServerContext | SpawnContext:
    """Processes forked from one that has imported torch and lagrad.

    It is started once, and ends with this process. more: modules that it imports, too, if it has
    not been started yet. Where there is none, each imports anew. Its environment is that of its
    start.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED, *more])
    return context


def begin_forking() -> None:
    """Start the fork server now; it imports while this process goes on."""
    if isinstance(forking(), ForkServerContext):
        with roomy_malloc(), masked(signal.SIGINT):
            forkserver.ensure_running()


def go_on_forking() -> None:
    """In a process that was forked from another one: that one's fork server is this one's, too."""
    server: Any = forkserver._forkserver
    pid = server._forkserver_pid
    if pid is None:
        return
    if not hasattr(os, "pidfd_open"):  # it cannot be watched: this process has one of its own
        server._forkserver_pid = None
        return
    ended = os.pidfd_open(pid)

    def ensure_running() -> None:
        # Python would wait for it as for a child of this process.
        if select.select([ended], [], [], 0)[0]:
            server._forkserver_pid = None
            type(server).ensure_running(server)

    server.ensure_running = ensure_running


@contextmanager
def masked(*numbers: signal.Signals) -> Iterator[None]:
    """Signals wait inside; processes started inside begin so."""
    resource_tracker.ensure_running()  # which would lift the mask, if a start had to do it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def roomy_malloc() -> Iterator[None]:
    """Processes started inside keep freed memory instead of giving it back to the kernel.

    Activations of some megabytes are taken and freed in every gradient; by default glibc asks the
    kernel for them anew each time, which then has to zero the pages.
    """
    wanted = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def give_back_freed_memory() -> None:
    """What roomy malloc has kept until now goes to the kernel, where the C library is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
