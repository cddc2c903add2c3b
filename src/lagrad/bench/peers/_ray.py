"""The asynchronous parameter server of Ray's documentation."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._load import Load, Measured, Replica, Snapshot, Watch

#: Of gradients and parameters on their way, in bytes.
_STORE = 3_000_000_000


def ray_missing() -> str:
    """What has to be installed."""
    return "" if find_spec("ray") else "not installed: pip install 'lagrad[peers]'"


def ray_example(load: Load) -> Measured:
    """Actors; weights and gradients pass as NumPy arrays through the object store.

    In the Ray that this process is connected to, or one of its own, which ends with it.
    Source: "Parameter Server" in Ray's documentation, its asynchronous part; with momentum.
    """
    import ray

    with _connected():
        make: Any = ray.remote
        server = make(_ParameterServer).options(num_cpus=1).remote(load)
        actors = [
            make(_DataWorker).options(num_cpus=1).remote(load, w) for w in range(load.workers)
        ]
        try:
            return _drive(load, server, actors)
        finally:
            for each in (server, *actors):
                ray.kill(each)


def _drive(load: Load, server: Any, actors: list[Any]) -> Measured:
    import ray

    weights = server.get_weights.remote()
    ray.get([actor.compute_gradients.remote(weights) for actor in actors])
    gradients = {actor.compute_gradients.remote(weights): actor for actor in actors}
    ray.get(server.start.remote())
    updates, began = 0, time.perf_counter()
    while time.perf_counter() - began < load.seconds and updates != load.gradients:
        (ready, *_), _ = ray.wait(list(gradients))
        actor = gradients.pop(ready)
        weights = server.apply_gradients.remote(ready)
        gradients[actor.compute_gradients.remote(weights)] = actor
        updates += 1
    ray.get(weights)
    rate = updates / (time.perf_counter() - began)
    snapshots: list[Snapshot] = ray.get(server.snapshots.remote())
    return Measured(rate, snapshots)


@contextmanager
def _connected() -> Iterator[None]:
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(
        address="local",
        num_cpus=16,
        include_dashboard=False,
        object_store_memory=_STORE,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield
    finally:
        ray.shutdown()


class _ParameterServer(Replica):
    def __init__(self, load: Load) -> None:
        super().__init__(load, worker=load.workers)
        self.watch = Watch(load.watch_every)

    def start(self) -> None:
        self.watch.start()

    def apply_gradients(self, *gradients: list[np.ndarray[Any, Any]]) -> dict[str, Tensor]:
        """Sum, step, answer with the weights."""
        summed = [np.stack(each).sum(axis=0) for each in zip(*gradients, strict=True)]
        self.optimizer.zero_grad()
        for parameter, gradient in zip(self.model.parameters(), summed, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        self.optimizer.step()
        self.watch.look(self.model)
        return self.get_weights()

    def get_weights(self) -> dict[str, Tensor]:
        return {name: value.cpu() for name, value in self.model.state_dict().items()}

    def snapshots(self) -> list[Snapshot]:
        return self.watch.snapshots


class _DataWorker(Replica):
    def compute_gradients(self, weights: dict[str, Tensor]) -> list[np.ndarray[Any, Any]]:
        self.model.load_state_dict(weights)
        self.backward()
        return [p.grad.data.cpu().numpy() for p in self.model.parameters() if p.grad is not None]
