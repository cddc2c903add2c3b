"""Updates per second through the Ray runtime, beside the parameter server of Ray's documentation.

    python benchmarks/ray_throughput.py [--seconds 5] [--rounds 3]

Both train one vector whose gradient costs next to nothing, so that what is measured is pushing,
applying and pulling: asynchronous SGD, 431,080 and 11,000,000 parameters, 2 and 4 workers on one
host, in one Ray. The other one is written after the asynchronous part of "Parameter Server" in
Ray's documentation: two actors, weights and gradients as NumPy arrays through Ray's object store.
The two take turns; a figure is the median of the rounds. Processes started anew each round are
not counted: the clock of either starts when all its workers have answered once.
"""

import argparse
import logging
import statistics
import time
from typing import Any

import numpy as np
import ray
import torch
from ray.actor import ActorHandle
from torch import Tensor, nn

from lagrad import Samples, Task, Until, train
from lagrad.rules import SGD
from lagrad.runtimes import Ray
from machine import record

LR = 1e-4


class Free(torch.autograd.Function):
    """A loss of 0 whose gradient is a given vector: no arithmetic."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, gradient: Tensor) -> Tensor:
        """Keep the gradient."""
        ctx.gradient = gradient
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None]:
        """Give it."""
        del outputs
        return ctx.gradient, None


class Vector(nn.Module):
    """One parameter, and the gradient that it always has."""

    def __init__(self, numel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(numel))
        self.register_buffer("gradient", torch.full((numel,), 1e-3), persistent=False)


def loss(model: nn.Module, batch: tuple[Tensor]) -> Tensor:
    del batch
    assert isinstance(model, Vector)
    result: Tensor = Free.apply(model.weight, model.gradient)  # type: ignore[no-untyped-call]
    return result


def samples() -> Samples:
    return Samples((torch.zeros(1024, 1),))


class Make:
    """A recipe that pickles."""

    def __init__(self, numel: int) -> None:
        self.numel = numel

    def __call__(self) -> nn.Module:
        """The model."""
        return Vector(self.numel)


def ours(numel: int, workers: int, seconds: float) -> float:
    """Updates per second of the Ray runtime."""
    task = Task("vector", model=Make(numel), loss=loss, data=samples, batch_size=1)
    until = Until(seconds=seconds)
    result = train(task, rule=SGD(lr=LR), runtime=Ray(), workers=workers, until=until)
    return result.updates / result.seconds


class ParameterServer:
    """After Ray's documentation."""

    def __init__(self, numel: int) -> None:
        torch.set_num_threads(1)
        self.model = Vector(numel)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR)

    def apply_gradients(self, *gradients: list[np.ndarray[Any, Any]]) -> dict[str, Tensor]:
        """Sum, step, answer with the weights."""
        summed = [np.stack(each).sum(axis=0) for each in zip(*gradients, strict=True)]
        self.optimizer.zero_grad()
        for parameter, gradient in zip(self.model.parameters(), summed, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        self.optimizer.step()
        return self.get_weights()

    def get_weights(self) -> dict[str, Tensor]:
        """All of them."""
        return {name: value.cpu() for name, value in self.model.state_dict().items()}


class DataWorker:
    """After Ray's documentation."""

    def __init__(self, numel: int) -> None:
        torch.set_num_threads(1)
        self.model = Vector(numel)

    def compute_gradients(self, weights: dict[str, Tensor]) -> list[np.ndarray[Any, Any]]:
        """At these weights."""
        self.model.load_state_dict(weights)
        self.model.zero_grad()
        loss(self.model, (torch.zeros(1),)).backward()  # type: ignore[no-untyped-call]
        return [p.grad.data.cpu().numpy() for p in self.model.parameters() if p.grad is not None]


def theirs(numel: int, workers: int, seconds: float) -> float:
    """Updates per second of the documentation's asynchronous parameter server."""
    make: Any = ray.remote
    server: ActorHandle[Any] = make(ParameterServer).options(num_cpus=1).remote(numel)
    actors = [make(DataWorker).options(num_cpus=1).remote(numel) for _ in range(workers)]
    weights: Any = server.get_weights.remote()
    ray.get([actor.compute_gradients.remote(weights) for actor in actors])
    gradients = {actor.compute_gradients.remote(weights): actor for actor in actors}
    updates, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        (ready, *_), _ = ray.wait(list(gradients))
        actor = gradients.pop(ready)
        weights = server.apply_gradients.remote(ready)
        gradients[actor.compute_gradients.remote(weights)] = actor
        updates += 1
    ray.get(weights)
    rate = updates / (time.monotonic() - began)
    for each in (server, *actors):
        ray.kill(each)
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[431_080, 11_000_000])
    options = parser.parse_args()
    ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=3_000_000_000,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    figures: dict[str, Any] = {"ray": ray.__version__, **vars(options)}
    for numel in options.sizes:
        for workers in (2, 4):
            rates: dict[str, list[float]] = {"lagrad": [], "documentation": []}
            for _ in range(options.rounds):
                rates["lagrad"].append(ours(numel, workers, options.seconds))
                rates["documentation"].append(theirs(numel, workers, options.seconds))
            pairs = zip(rates["lagrad"], rates["documentation"], strict=True)
            figures[f"{numel} parameters, {workers} workers"] = {
                **{
                    f"{name}_updates_per_second": [round(r, 1) for r in rates[name]]
                    for name in rates
                },
                "ratio_median": round(statistics.median(a / b for a, b in pairs), 2),
            }
            print(numel, workers, rates, flush=True)
    ray.shutdown()
    record("-".join(["ray-throughput", *map(str, options.sizes)]), figures)


if __name__ == "__main__":
    main()
