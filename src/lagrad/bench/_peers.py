"""What others do with the same vector, written as their documentation does it."""

import socket
import time
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from ._free import Vector, free_loss

#: How long processes may take to find each other, in seconds.
_PATIENCE_S = 60
LR, MOMENTUM = 1e-6, 0.9


def hogwild(numel: int, workers: int, seconds: float) -> float:
    """torch.multiprocessing's example: one model in shared memory, an optimizer for each process.

    Every process steps on the shared parameters without a lock; its momentum is its own.
    """
    model = Vector(numel)
    model.share_memory()
    return _together(_Hogwild, workers, seconds, model)


def gloo(numel: int, workers: int, seconds: float) -> float:
    """DistributedDataParallel over gloo: every gradient is averaged with all others.

    Counted as gradients per second, of which each step has as many as there are workers.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return _together(_Gloo, workers, seconds, numel, port)


class _Hogwild:
    def __init__(self, rank: int, workers: int, model: Vector) -> None:
        del rank, workers
        self.model: nn.Module = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)

    def loss(self) -> Tensor:
        return free_loss(self.model)

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.loss().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def all_go_on(self, on: bool) -> bool:
        return on

    def close(self) -> None:
        """Nothing is open."""


class _Gloo(_Hogwild):
    def __init__(self, rank: int, workers: int, numel: int, port: int) -> None:
        dist.init_process_group(
            "gloo",
            init_method=f"tcp://127.0.0.1:{port}",
            rank=rank,
            world_size=workers,
            timeout=timedelta(seconds=_PATIENCE_S),
        )
        model = Vector(numel)
        super().__init__(rank, workers, model)
        self.replica = nn.parallel.DistributedDataParallel(_Loss(model))
        self.on = torch.ones(1)

    def loss(self) -> Tensor:
        found: Tensor = self.replica()
        return found

    def all_go_on(self, on: bool) -> bool:
        # All stop after the same step: one more would wait for the others for ever.
        self.on.fill_(on)
        dist.all_reduce(self.on, dist.ReduceOp.MIN)
        return bool(self.on)

    def close(self) -> None:
        dist.destroy_process_group()


class _Loss(nn.Module):
    def __init__(self, model: Vector) -> None:
        super().__init__()
        self.model = model

    def forward(self) -> Tensor:
        """See `free_loss`."""
        return free_loss(self.model)


def _together(peer: type[_Hogwild], workers: int, seconds: float, *arguments: Any) -> float:
    """Steps per second of all processes, from the moment when each has taken its first."""
    context = mp.get_context("spawn")
    there, counts = context.Barrier(workers + 1), context.SimpleQueue()
    processes = [
        context.Process(
            target=_work, args=(peer, rank, workers, there, seconds, counts, arguments), daemon=True
        )
        for rank in range(workers)
    ]
    for process in processes:
        process.start()
    there.wait(_PATIENCE_S)
    found = sum(float(counts.get()) for _ in processes)
    for process in processes:
        process.join()
    return found


def _work(  # noqa: PLR0917 -- the arguments of a process are positional
    peer: type[_Hogwild],
    rank: int,
    workers: int,
    there: Any,
    seconds: float,
    counts: Any,
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    worker: Any = peer(rank, workers, *arguments)
    worker.step()  # what is imported or made at the first step is not measured
    there.wait(_PATIENCE_S)
    steps, began = 0, time.perf_counter()
    while worker.all_go_on((spent := time.perf_counter() - began) < seconds):
        worker.step()
        steps += 1
    worker.close()
    counts.put(steps / spent)
