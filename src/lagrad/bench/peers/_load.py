"""What every system is given alike: a task, slow workers, an optimizer, and when it is over."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lagrad.delays import Factors
from lagrad.tasks import Samples, Task, find

#: The parameters, float32 [P], at a moment in seconds.
Snapshot = tuple[float, np.ndarray[Any, np.dtype[np.float32]]]


@dataclass(frozen=True)
class Load:
    """A load to carry, in values that any process can be told.

    task, arguments: as `tasks.find` takes them, of `Samples`. workers: processes that compute
    gradients, one torch thread each. lr, momentum: of heavy ball. seconds, gradients: whichever is
    spent first. slow: pairs (worker, factor): it sleeps so that a gradient takes factor times as
    long. watch_every: seconds between snapshots of the parameters, None for none. seed: of the
    model and the order of the samples.
    """

    task: str
    arguments: dict[str, int]
    workers: int
    lr: float
    momentum: float
    seconds: float
    gradients: int | None = None
    slow: tuple[tuple[int, float], ...] = ()
    watch_every: float | None = None
    seed: int = 0

    def find(self) -> Task:
        """The task."""
        return find(self.task, **self.arguments)

    def model(self) -> nn.Module:
        """The task's model, the same in every process."""
        torch.manual_seed(self.seed)
        return self.find().model()


@dataclass(frozen=True)
class Measured:
    """Gradients per second from when every worker had brought its first; snapshots since then."""

    gradients_per_s: float
    snapshots: list[Snapshot] = field(default_factory=list)


class Replica:
    """A worker's own model with its loss, its batches, its optimizer and its slowness."""

    def __init__(self, load: Load, worker: int) -> None:
        torch.set_num_threads(1)
        task = load.find()
        self.model = load.model()
        self.loss = task.loss
        self.batches = _batches(task, load, worker)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=load.lr, momentum=load.momentum
        )
        self._began = 0.0
        self._durations = Factors(load.slow).stream(worker, load.seed)
        if worker in dict(load.slow):
            # The gradient that is ready last: DDP begins to reduce it when the hook is through.
            next(self.model.parameters()).register_hook(self._sleep)  # type: ignore[no-untyped-call]

    def backward(self, model: nn.Module | None = None) -> None:
        """Leave the next batch's gradients with the parameters. model: what wraps the replica's."""
        batch = next(self.batches)
        self.model.zero_grad()
        self._began = time.perf_counter()
        loss = self.loss(self.model if model is None else model, batch)
        loss.backward()  # type: ignore[no-untyped-call]

    def _sleep(self, gradient: Tensor) -> Tensor:
        longer = next(self._durations) - 1.0
        time.sleep(longer * (time.perf_counter() - self._began))
        return gradient


def _batches(task: Task, load: Load, worker: int) -> Iterator[Any]:
    """Of each epoch's shuffled samples every `workers`-th, as DistributedSampler gives them out."""
    samples = task.data()
    assert isinstance(samples, Samples)
    epoch = 0
    while True:
        generator = torch.Generator().manual_seed(load.seed + epoch)
        order = torch.randperm(len(samples), generator=generator)[worker :: load.workers]
        whole = len(order) // task.batch_size * task.batch_size
        for indices in torch.split(order[:whole], task.batch_size):
            yield samples.batch(indices)
        epoch += 1


class Watch:
    """Copies of the parameters every so many seconds since the start, to be scored afterwards."""

    def __init__(self, every: float | None) -> None:
        self.snapshots: list[Snapshot] = []
        self._every = every
        self._began: float | None = None

    def start(self) -> None:
        """The clock stands at 0."""
        self._began = self._due = time.perf_counter()

    def look(self, model: nn.Module) -> None:
        """Take a copy if it is time."""
        now = time.perf_counter()
        if self._every is None or self._began is None or now < self._due:
            return
        with torch.no_grad():
            flat = nn.utils.parameters_to_vector(model.parameters())
        self.snapshots.append((now - self._began, flat.numpy()))
        self._due = now + self._every
