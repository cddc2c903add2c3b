"""Pushes and pulls of the local runtime, beside other systems and what the machine can move."""

import os
import time
from collections.abc import Callable
from functools import partial

import torch

from lagrad.core import Outcome
from lagrad.policies import Asynchronous
from lagrad.rules import Momentum
from lagrad.runtimes import Local, Run, RunFailed, Setup, Stopped, Until, torch_threads

from ._harness import Row, in_turns, spread
from .peers import PEERS, Load, Peer

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
    vectors of the same size, over 28 bytes per parameter. A fraction, and lagrad's ratio to a
    system, are of neighbours in the turns. Gradients cost next to nothing. A peer that is not
    installed is left out, with a word on it. seconds: of each measurement.
    """
    rows: list[Row] = []
    for size in params:
        for count in workers:
            load = Load(
                "lagrad.bench:free_task",
                {"numel": size},
                workers=count,
                lr=1e-6,
                momentum=0.9,
                seconds=seconds,
            )
            rows += _beside_peers(load, size, rounds)
    return rows


def _beside_peers(load: Load, size: int, rounds: int) -> list[Row]:
    left_out = {name: words for name, peer in PEERS.items() if (words := peer.missing())}
    systems: dict[str, Callable[[], float]] = {
        "limit": partial(_limit, size, load.seconds),
        "lagrad": partial(_ours, load),
        **{
            name: partial(_theirs, peer, load)
            for name, peer in PEERS.items()
            if name not in left_out
        },
    }
    found = in_turns(systems, rounds=rounds)
    rows: list[Row] = []
    for system, figures in found.items():
        shares = [own / most for own, most in zip(figures, found["limit"], strict=True)]
        ratios = [ours / own for ours, own in zip(found["lagrad"], figures, strict=True)]
        rows.append(
            {
                "system": system,
                "params": size,
                "workers": load.workers,
                **spread("updates_per_s", figures),
                **spread("fraction_of_limit", shares),
                **spread("lagrad_ratio", ratios),
            }
        )
    rows += [
        {
            "system": name,
            "params": size,
            "workers": load.workers,
            "updates_per_s": None,
            "fraction_of_limit": None,
            "left_out": words,
        }
        for name, words in left_out.items()
    ]
    return rows


def _limit(numel: int, seconds: float) -> float:
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


def _ours(load: Load) -> float:
    setup = Setup(
        task=load.find(),
        rule=Momentum(lr=load.lr, momentum=load.momentum),
        policy=Asynchronous(),
        workers=load.workers,
        until=Until(seconds=load.seconds),
        evaluate_every=1e9,
    )
    begun: list[tuple[float, int]] = []

    def observe(run: Run) -> None:
        # What is made at a worker's first step is not measured, as for the peers.
        if not begun and all(tally.verdicts[Outcome.APPLIED] for tally in run.tallies):
            begun.append((run.now, run.server.version))

    result = Local().run(setup, observe=observe)
    if result.stopped is not Stopped.BUDGET:
        raise KeyboardInterrupt
    seconds, updates = begun[0] if begun else (result.seconds, 0)
    if result.seconds <= seconds:
        raise RunFailed(
            f"Expected every worker to push within {load.seconds:g} s, got {result.updates} pushes "
            "in all; measure longer, or less."
        )
    return (result.updates - updates) / (result.seconds - seconds)


def _theirs(peer: Peer, load: Load) -> float:
    return peer.carry(load).gradients_per_s
