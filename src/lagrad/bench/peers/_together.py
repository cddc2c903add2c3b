"""Worker processes that start together, and what becomes of them."""

import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch.multiprocessing as mp

from lagrad.runtimes import RunFailed

from ._load import Load, Measured, Replica, Snapshot, Watch

#: How long one waits for the others, at the start and at each step, in seconds.
TIMEOUT_S = 60


class Member(Replica, ABC):
    """A worker process of a peer. The last one watches: it is never the slow one."""

    def __init__(self, load: Load, worker: int) -> None:
        super().__init__(load, worker)
        self.watch = Watch(load.watch_every if worker == load.workers - 1 else None)

    @abstractmethod
    def step(self) -> None:
        """One gradient, and what the peer does with it."""

    def all_go_on(self, on: bool) -> bool:
        """Whether to take another step, if this worker would."""
        return on

    def start(self) -> None:
        """The clock starts: every worker has taken its first step."""
        self.watch.start()

    def end(self) -> list[Snapshot]:
        """All is over; the snapshots that are here."""
        return self.watch.snapshots


def together(member: Callable[..., Member], load: Load, *arguments: Any) -> Measured:
    """Processes of `member(load, worker, *arguments)`, to the end of the load.

    Raises: RunFailed if one of them dies.
    """
    context = mp.get_context("spawn")
    begin, taken, reports = context.Barrier(load.workers), context.Value("q"), context.SimpleQueue()
    processes = [
        context.Process(
            target=_work, args=(member, load, worker, arguments, begin, taken, reports), daemon=True
        )
        for worker in range(load.workers)
    ]
    try:
        for process in processes:
            process.start()
        found = _collect(reports, processes)
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
    snapshots = next((some for _, some in found if some), [])
    return Measured(sum(rate for rate, _ in found), snapshots)


def free_port() -> int:
    """One of this machine that nobody listens on: where processes find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _collect(reports: Any, processes: list[Any]) -> list[tuple[float, list[Snapshot]]]:
    """As many reports as there are processes."""
    found: list[tuple[float, list[Snapshot]]] = []
    while len(found) < len(processes):
        if not reports.empty():
            found.append(reports.get())
        elif any(process.exitcode for process in processes):
            raise RunFailed("A process of the peer ended before its time; see its words above.")
        else:
            time.sleep(0.02)
    return found


def _work(  # noqa: PLR0917 -- the arguments of a process are positional
    member: Callable[..., Member],
    load: Load,
    worker: int,
    arguments: tuple[Any, ...],
    begin: Any,
    taken: Any,
    reports: Any,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us ends us
    replica = member(load, worker, *arguments)
    replica.step()  # what is imported or made at the first step is not measured
    begin.wait(TIMEOUT_S)
    replica.start()
    steps, began = 0, time.perf_counter()

    def is_left(spent: float) -> bool:
        if spent >= load.seconds:
            return False
        if load.gradients is None:
            return True
        with taken.get_lock():
            taken.value += 1
            return bool(taken.value <= load.gradients)

    while replica.all_go_on(is_left(spent := time.perf_counter() - began)):
        replica.step()
        steps += 1
    reports.put((steps / spent, replica.end()))
