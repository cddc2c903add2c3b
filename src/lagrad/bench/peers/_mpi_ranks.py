"""The program that mpirun starts: rank 0 serves, the others compute."""

import signal
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import torch
from mpi4py import MPI
from safetensors.torch import save_file

from ._load import Load, Replica, Watch

_GO_ON, _STOP = 1, 0
#: Of the word that says whether parameters follow; gradients and parameters have their numbers.
_WORD = 1_000_000


class _Server:
    """Rank 0: its parameters and gradients in buffers that messages are read from and into."""

    def __init__(self, world: MPI.Comm, load: Load) -> None:
        self.world = world
        self.replica = Replica(load, worker=load.workers)
        parameters = list(self.replica.model.parameters())
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        self.gradients = [p.grad.numpy() for p in parameters if p.grad is not None]
        self.values = [p.detach().numpy() for p in parameters]

    def receive(self) -> int:
        """The gradients of whoever comes first; that worker's rank."""
        status = MPI.Status()
        self.world.Recv(self.gradients[0], source=MPI.ANY_SOURCE, tag=0, status=status)
        worker: int = status.Get_source()
        for number, gradient in enumerate(self.gradients[1:], start=1):
            self.world.Recv(gradient, source=worker, tag=number)
        return worker

    def answer(self, worker: int) -> None:
        """All parameters."""
        self.world.Send(np.array([_GO_ON]), dest=worker, tag=_WORD)
        for number, value in enumerate(self.values):
            self.world.Send(value, dest=worker, tag=number)


def _serve(world: MPI.Comm, load: Load, out: Path) -> None:
    server, watch = _Server(world, load), Watch(load.watch_every)
    for _ in range(load.workers):  # what is made at the first step is not measured
        worker = server.receive()
        server.replica.optimizer.step()
        server.answer(worker)
    watch.start()
    applied, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < load.seconds and applied != load.gradients:
        worker = server.receive()
        server.replica.optimizer.step()
        watch.look(server.replica.model)
        server.answer(worker)
        applied += 1
    for _ in range(load.workers):
        world.Send(np.array([_STOP]), dest=server.receive(), tag=_WORD)
    save_file(
        {
            "gradients_per_s": torch.tensor(applied / spent, dtype=torch.float64),
            "seconds": torch.tensor([at for at, _ in watch.snapshots], dtype=torch.float64),
            "params": torch.from_numpy(np.array([point for _, point in watch.snapshots])),
        },
        out,
    )


def _work(world: MPI.Comm, load: Load, worker: int) -> None:
    replica = Replica(load, worker)
    values = [p.detach().numpy() for p in replica.model.parameters()]
    word = np.array([_GO_ON])
    while True:
        replica.backward()
        sent = [
            world.Isend(parameter.grad.numpy(), dest=0, tag=number)
            for number, parameter in enumerate(replica.model.parameters())
            if parameter.grad is not None
        ]
        MPI.Request.Waitall(sent)
        world.Recv(word, source=0, tag=_WORD)
        if word[0] == _STOP:
            return
        for number, value in enumerate(values):
            world.Recv(value, source=0, tag=number)


def main() -> None:
    """Be one of the ranks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # mpirun ends us
    load, out = msgspec.json.decode(sys.argv[1], type=Load), Path(sys.argv[2])
    world = MPI.COMM_WORLD
    rank = world.Get_rank()
    if rank == 0:
        _serve(world, load, out)
    else:
        _work(world, load, worker=rank - 1)


if __name__ == "__main__":
    main()
