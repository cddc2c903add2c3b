"""Events per second of the server alone: no gradients, a vector of eight numbers."""

import time
from functools import partial

import torch

from lagrad import policies, rules
from lagrad.core import Join, Layout, LeaseBook, Policy, Pull, Push, Send, Server
from lagrad.runtimes import torch_threads

from ._harness import Row, in_turns, spread

_SIZE = 8


def server(
    *, workers: tuple[int, ...] = (4, 64, 1000, 10_000), events: int = 40_000, rounds: int = 5
) -> list[Row]:
    """Pushes and pulls a second, of every worker in turn, by policy and number of workers.

    events: handled in each measurement, at least. A second is one of processor time, so that other
    processes hardly count. Invariants are not checked while the clock runs, and once at the end.
    """
    entrants = [
        (name, policy, count) for count in workers for name, policy in _policies(count).items()
    ]
    measurements = {
        f"{name}, {count} workers": partial(_events_per_s, policy, count, events)
        for name, policy, count in entrants
    }
    with torch_threads(1):  # as in every runtime
        found = in_turns(measurements, rounds=rounds)
    return [
        {
            "system": "lagrad",
            "policy": name,
            "workers": count,
            **spread("events_per_s", figures),
        }
        for (name, _, count), figures in zip(entrants, found.values(), strict=True)
    ]


def _policies(workers: int) -> dict[str, Policy]:
    half = max(1, workers // 2)
    return {
        "asynchronous": policies.Asynchronous(),
        "synchronous": policies.Synchronous(),
        "backup-workers": policies.BackupWorkers(workers // 8),
        "k-sync": policies.KSync(half),
        "k-fresh": policies.KFresh(half),
        "k-batch-sync": policies.KBatchSync(half),
        "k-async": policies.KAsync(half),
        "k-batch-async": policies.KBatchAsync(half),
        "bounded-staleness": policies.BoundedStaleness(3),
        "ringmaster": policies.Ringmaster(workers),
        "deadline": policies.Deadline(),
    }


def _events_per_s(policy: Policy, workers: int, events: int) -> float:
    machine = Server(
        torch.zeros(_SIZE),
        layout=Layout(("x",), ((_SIZE,),), torch.float32),
        rule=rules.SGD(lr=0.1),
        policy=policy,
        leases=LeaseBook(None),
    )
    values = torch.full((_SIZE,), 1e-6)
    for worker in range(workers):
        machine.handle(Join(worker=worker))
    running: dict[int, Send] = {}
    sequences = [0] * workers
    for worker in range(workers):
        for command in machine.handle(Pull(worker=worker)):
            assert isinstance(command, Send)
            running[command.worker] = command
    handled = 0
    began = time.process_time()
    while handled < events:
        for worker in range(workers):
            sent = running.pop(worker, None)
            if sent is None:
                continue
            push = Push(
                worker=worker,
                sequence=sequences[worker],
                version=sent.version,
                lease=sent.lease.number,
                values=values,
            )
            sequences[worker] += 1
            for event in (push, Pull(worker=worker)):
                handled += 1
                for command in machine.handle(event):
                    if isinstance(command, Send):
                        running[command.worker] = command
    seconds = time.process_time() - began
    machine.check()
    return handled / seconds
