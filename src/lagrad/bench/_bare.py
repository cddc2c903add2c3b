"""Gradients without a server: processes that compute them one by one, and nothing else."""

import multiprocessing
import signal
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from lagrad._forking import roomy_malloc
from lagrad.core import LeaseBook
from lagrad.tasks import Differentiator, Task


def _compute(connection: Connection, task: Task) -> None:
    """Answer each number with the seconds of as many gradients, one by one, in text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us ends us
    torch.set_num_threads(1)
    differentiator = Differentiator(task)
    point, buffers = differentiator.initial_params(), differentiator.initial_buffers()
    out = torch.empty_like(point)
    leases = LeaseBook(differentiator.num_samples, task.batch_size)
    connection.send_bytes(b"ready")
    while count := int(connection.recv_bytes()):
        seconds = []
        for _ in range(count):
            lease = leases.issue()
            began = time.perf_counter()
            differentiator(point, lease, buffers=buffers, out=out)
            seconds.append(time.perf_counter() - began)
            leases.settle(lease)
        connection.send_bytes(" ".join(map(str, seconds)).encode())


class BareGradients:
    """As many processes as there are workers, asleep but in their bursts."""

    def __init__(self, task: Task, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        ends = [context.Pipe() for _ in range(workers)]
        self._pipes = [ours for ours, _ in ends]
        self._processes = [
            context.Process(target=_compute, args=(theirs, task), daemon=True) for _, theirs in ends
        ]
        with roomy_malloc():  # as the local runtime starts its workers
            for process in self._processes:
                process.start()
        for pipe in self._pipes:
            pipe.recv_bytes()

    def burst(self, gradients: int) -> tuple[float, float]:
        """Mean seconds per gradient by the clock, and of processor time.

        gradients: of each process. By the clock without the first and the last of each, which run
        less evenly.
        """
        before = self._processor_s()
        for pipe in self._pipes:
            pipe.send_bytes(str(gradients).encode())
        answers = [pipe.recv_bytes().decode().split() for pipe in self._pipes]
        seconds = [float(s) for answer in answers for s in answer[1:-1]]
        spent = self._processor_s() - before
        return statistics.mean(seconds), spent / (gradients * len(self._pipes))

    def _processor_s(self) -> float:
        return sum(processor_s(process.pid) for process in self._processes if process.pid)

    def end(self) -> None:
        """Let all processes end."""
        for pipe in self._pipes:
            pipe.send_bytes(b"0")
        for process in self._processes:
            process.join()


def processor_s(pid: int) -> float:
    """Processor time that all threads of a process have had, in seconds, from Linux's /proc."""
    found = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in found) / 1e9
