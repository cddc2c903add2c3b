"""Pushes and pulls of the local runtime, beside other systems and what the machine can move."""

import os
import time
from collections.abc import Callable
from functools import partial

import torch

from lagrad.policies import Asynchronous
from lagrad.rules import Momentum
from lagrad.runtimes import Local, Setup, Stopped, Until, torch_threads

from . import _peers
from ._free import free_task
from ._harness import Row, in_turns, spread

#: Bytes that an update must move of each float32 parameter: its gradient read, its momentum and
#: itself read and written, and itself read and written once more for the worker.
BYTES_PER_PARAMETER = 28


def push(
    *,
    params: tuple[int, ...] = (431_080, 11_000_000),
    workers: tuple[int, ...] = (2, 4),
    seconds: float = 3.0,
    rounds: int = 3,
) -> list[Row]:
    """Updates per second by the clock: heavy ball in float32, full vectors there and back.

    The limit is measured in each round, too: the bytes that a copy by all cores moves a second, of
    vectors of the same size, over 28 bytes per parameter. A fraction is of two neighbours in the
    turns. Gradients cost next to nothing. seconds: of each measurement.
    """
    rows: list[Row] = []
    for size in params:
        for count in workers:
            systems: dict[str, Callable[[], float]] = {
                "limit": partial(_copies_per_s, size, seconds),
                "lagrad": partial(_ours, size, count, seconds),
                "hogwild": partial(_peers.hogwild, size, count, seconds),
                "gloo": partial(_peers.gloo, size, count, seconds),
            }
            found = in_turns(systems, rounds=rounds)
            for system, figures in found.items():
                shares = [own / most for own, most in zip(figures, found["limit"], strict=True)]
                rows.append(
                    {
                        "system": system,
                        "params": size,
                        "workers": count,
                        **spread("updates_per_s", figures),
                        **spread("fraction_of_limit", shares),
                    }
                )
    return rows


def _copies_per_s(numel: int, seconds: float) -> float:
    """Updates per second if nothing but the memory's bandwidth counted."""
    with torch_threads(os.cpu_count() or 1):
        source, target = torch.ones(numel), torch.zeros(numel)
        target.copy_(source)
        copies, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds / 3:
            target.copy_(source)
            copies += 1
    bytes_per_s = copies * 2 * source.nbytes / spent
    return bytes_per_s / (BYTES_PER_PARAMETER * numel)


def _ours(numel: int, workers: int, seconds: float) -> float:
    setup = Setup(
        task=free_task(numel),
        rule=Momentum(lr=_peers.LR, momentum=_peers.MOMENTUM),
        policy=Asynchronous(),
        workers=workers,
        until=Until(seconds=seconds),
        evaluate_every=1e9,
    )
    result = Local().run(setup)
    if result.stopped is not Stopped.BUDGET:
        raise KeyboardInterrupt
    return result.updates / result.seconds
