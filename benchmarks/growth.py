"""How the simulator's cost grows with workers, parameters and updates, on a log-log figure.

    python benchmarks/growth.py [--largest]

Softmax regression on synthetic points (10,000 of them, batches of 8, 5 classes), asynchronous,
shifted exponential delays, without evaluations, gradients computed together by up to 500. Seconds
are of processor time, from the setup to the result. --largest: also 10,000 workers and 1,000,000
updates.
"""

import argparse
import time
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.nn import functional

from lagrad.delays import ShiftedExponential
from lagrad.policies import Asynchronous
from lagrad.rules import SGD
from lagrad.runtimes import Setup, Simulator, Stopped, Until
from lagrad.tasks import Samples, Task
from machine import RESULTS, record

CLASSES = 5
SAMPLES = 10_000
FEATURES = 20


def points(features: int) -> Samples:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(SAMPLES) % CLASSES
    centers = torch.randn(CLASSES, features, generator=generator)
    return Samples((centers[labels] + torch.randn(SAMPLES, features, generator=generator), labels))


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def seconds(*, workers: int = 100, features: int = FEATURES, updates: int = 2000) -> float:
    setup = Setup(
        task=Task(
            name="synthetic-softmax",
            model=partial(nn.Linear, features, CLASSES),
            loss=loss,
            data=partial(points, features),
            batch_size=8,
        ),
        rule=SGD(lr=0.1 / workers),
        policy=Asynchronous(),
        workers=workers,
        until=Until(updates=updates),
        delays=ShiftedExponential(),
        evaluate_every=1e9,
    )
    began = time.process_time()
    if Simulator(together=500).run(setup).stopped is not Stopped.BUDGET:
        raise KeyboardInterrupt
    return time.process_time() - began


GRIDS: dict[str, tuple[int, ...]] = {
    "workers": (10, 100, 1000, 10_000),
    "features": (20, 200, 2000),
    "updates": (1000, 10_000, 100_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--largest", action="store_true")
    largest: bool = parser.parse_args().largest
    torch.set_num_threads(1)
    seconds(updates=50)  # imports
    figures: dict[str, Any] = {}
    _, axes = plt.subplots(1, len(GRIDS), figsize=(10, 3), layout="constrained")
    for (name, grid), axis in zip(GRIDS.items(), axes, strict=True):
        spent = [seconds(**{name: value}) for value in grid]
        ends = [(v + 1) * CLASSES if name == "features" else v for v in grid]
        label = "parameters" if name == "features" else name
        figures[f"seconds_by_{label}"] = dict(zip(map(str, ends), map(_short, spent), strict=True))
        axis.loglog(ends, spent, marker="o")
        axis.set_xlabel(label)
    axes[0].set_ylabel("seconds (processor)")
    if largest:
        began = time.perf_counter()
        figures["largest_seconds"] = _short(seconds(workers=10_000, updates=1_000_000))
        figures["largest_seconds_wall_clock"] = _short(time.perf_counter() - began)
    RESULTS.mkdir(exist_ok=True)
    plt.savefig(RESULTS / "growth.png", dpi=120)
    record("growth", figures)


def _short(number: float) -> float:
    return round(number, 3)


if __name__ == "__main__":
    main()
