"""Gradients on an accelerator: what the bus moves, what lagrad moves, and gradients together.

    python benchmarks/gpu.py [--params 431080 11000000] [--workers 1 2 4] [--seconds 3] [--rounds 3]

In turns: page-locked copies of a vector to the device and back, a copy on the device, and updates
of local workers that share the first device, whose gradient costs next to nothing. The limit of an
update is its point to the device and its gradient back. Then updates of LeNet, on the processor and
on the device, and 32 gradients of it on the device by one call of vmap, beside 32 calls. Where
PyTorch finds no accelerator it says so, and ends with exit code 1.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lagrad.bench import free_task, in_turns
from lagrad.core import Lease
from lagrad.policies import Asynchronous
from lagrad.rules import Momentum
from lagrad.runtimes import Local, Setup, Until
from lagrad.tasks import Differentiator, Task, lenet_mnist
from machine import record

TOGETHER = 32


def bytes_per_s(source: Tensor, target: Tensor, seconds: float) -> float:
    """That a copy moves, one after the other without waiting in between."""
    target.copy_(source, non_blocking=True)
    torch.accelerator.synchronize()
    began, copies = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(8):
            target.copy_(source, non_blocking=True)
        torch.accelerator.synchronize()
        copies += 8
    return copies * source.nbytes / (time.perf_counter() - began)


def bus(numel: int, kind: str, seconds: float) -> dict[str, float]:
    """Bytes per second to the device, back, and on it."""
    host, there = torch.ones(numel, pin_memory=True), torch.ones(numel, device=f"{kind}:0")
    return {
        "to": bytes_per_s(host, there, seconds),
        "back": bytes_per_s(there, host, seconds),
        "on": bytes_per_s(there, torch.empty_like(there), seconds),
    }


def updates_per_s(task: Task, workers: int, device: str, seconds: float) -> float:
    """Of local workers under heavy ball, from the first pull on."""
    setup = Setup(
        task=task,
        rule=Momentum(lr=1e-6, momentum=0.9),
        policy=Asynchronous(),
        workers=workers,
        until=Until(seconds=seconds),
        evaluate_every=1e9,
    )
    result = Local(device=device).run(setup)
    return result.updates / result.seconds


def gradients_per_s(compute: Callable[[], object], seconds: float) -> float:
    """Of something that computes as many as go together, and waits for them."""
    compute()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        compute()
        done += TOGETHER
    return done / (time.perf_counter() - began)


def lenets(kind: str, batch_size: int) -> dict[str, Callable[[], object]]:
    """32 gradients at points of their own: by one call, and one after the other."""
    there = Differentiator(lenet_mnist(batch_size=batch_size), device=torch.device(kind, 0))
    points = [there.initial_params() * (1 + worker / TOGETHER) for worker in range(TOGETHER)]
    starts = range(0, TOGETHER * batch_size, batch_size)
    leases = [Lease(number, 0, start, start + batch_size) for number, start in enumerate(starts)]
    out, buffers = torch.empty(TOGETHER, there.layout.size), there.initial_buffers()
    rows = range(TOGETHER)

    def loop() -> None:
        for point, lease, row in zip(points, leases, out, strict=True):
            there(point, lease, buffers=buffers, out=row)

    return {"vmap": partial(there.together, points, leases, out=out, rows=rows), "loop": loop}


def median(figures: list[float]) -> float:
    return float(f"{statistics.median(figures):.4g}")


def pushes(kind: str, numel: int, workers: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Updates of a vector, and the share of what the bus could do in the same round."""
    moved, updates, shares = [], [], []
    for _ in range(arguments.rounds):
        speeds = bus(numel, kind, arguments.seconds / 3)
        reached = updates_per_s(free_task(numel), workers, f"{kind}:0", arguments.seconds)
        moved.append(speeds)
        updates.append(reached)
        shares.append(reached * 4 * numel * (1 / speeds["to"] + 1 / speeds["back"]))
    return {
        "params": numel,
        "workers": workers,
        "updates_per_s": median(updates),
        "share_of_bus": median(shares),
        **{f"{way}_bytes_per_s": median([each[way] for each in moved]) for way in moved[0]},
    }


def lenet(kind: str, workers: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Updates of LeNet on the processor and on the device."""
    task = lenet_mnist(batch_size=arguments.batch_size)
    found = in_turns(
        {
            where: partial(updates_per_s, task, workers, device, arguments.seconds)
            for where, device in (("cpu", "cpu"), ("device", f"{kind}:0"))
        },
        rounds=arguments.rounds,
    )
    return {"workers": workers, **{f"updates_per_s_{w}": median(each) for w, each in found.items()}}


def together(kind: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Gradients of LeNet per second, by one call and by a loop."""
    ways = lenets(kind, arguments.batch_size)
    found = in_turns(
        {way: partial(gradients_per_s, ways[way], arguments.seconds) for way in ways},
        rounds=arguments.rounds,
    )
    return {f"{way}_gradients_per_s": median(each) for way, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--params", type=int, nargs="+", default=[431_080, 11_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None:
        raise SystemExit(
            f"Expected an accelerator, got PyTorch {torch.__version__} without one; "
            "nothing was measured."
        )
    kind = found.type
    module: Any = torch.get_device_module(kind)
    figures: dict[str, Any] = {
        "device": module.get_device_name(0) if hasattr(module, "get_device_name") else kind,
        "devices": torch.accelerator.device_count(),
        "push_and_pull": [
            pushes(kind, numel, workers, arguments)
            for numel, workers in itertools.product(arguments.params, arguments.workers)
        ],
        "lenet": [lenet(kind, workers, arguments) for workers in arguments.workers],
        "together": together(kind, arguments),
    }
    record("gpu", figures)


if __name__ == "__main__":
    main()
