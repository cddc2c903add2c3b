"""DistributedDataParallel over gloo, as its tutorial does it."""

import warnings
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from ._load import Load, Measured, Snapshot
from ._together import TIMEOUT_S, Member, free_port, together


def gloo(load: Load) -> Measured:
    """Every gradient is averaged with all others, and everybody steps alike.

    Counted as gradients per second, of which each step has as many as there are workers.
    Source: the tutorial "Getting Started with Distributed Data Parallel".
    """
    return together(_Gloo, load, free_port())


class _Gloo(Member):
    def __init__(self, load: Load, worker: int, port: int) -> None:
        dist.init_process_group(
            "gloo",
            init_method=f"tcp://127.0.0.1:{port}",
            rank=worker,
            world_size=load.workers,
            timeout=timedelta(seconds=TIMEOUT_S),
        )
        super().__init__(load, worker)
        # LeNet's first weights have channels-last strides; its 500 numbers are copied, that is all.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        self.replica = nn.parallel.DistributedDataParallel(self.model)
        self.on = torch.ones(1)

    def step(self) -> None:
        """With everybody."""
        self.backward(self.replica)
        self.optimizer.step()
        self.watch.look(self.model)

    def all_go_on(self, on: bool) -> bool:
        """Whether all do: one step more would wait for the others for ever."""
        self.on.fill_(on)
        dist.all_reduce(self.on, dist.ReduceOp.MIN)
        return bool(self.on)

    def end(self) -> list[Snapshot]:
        """Leave the group."""
        dist.destroy_process_group()
        return super().end()
