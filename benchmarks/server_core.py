"""Events per second of the server alone: no gradients, 64 workers, a tiny vector.

    python benchmarks/server_core.py [--events 200000]

Every worker pushes and pulls in turn; an event is a Push or a Pull. Invariants are not checked
while the clock runs, and once at the end.
"""

import argparse
import statistics
import time

import torch

from lagrad import policies, rules
from lagrad.core import Join, Layout, LeaseBook, Policy, Pull, Push, Send, Server
from machine import record

WORKERS = 64
SIZE = 8
REPEATS = 5


def events_per_second(policy: Policy, events: int) -> float:
    layout = Layout(("x",), ((SIZE,),), torch.float32)
    server = Server(
        torch.zeros(SIZE),
        layout=layout,
        rule=rules.SGD(lr=0.1),
        policy=policy,
        leases=LeaseBook(None),
    )
    values = torch.full((SIZE,), 1e-6)
    for worker in range(WORKERS):
        server.handle(Join(worker=worker))
    running: dict[int, Send] = {}
    sequences = [0] * WORKERS
    for worker in range(WORKERS):
        for command in server.handle(Pull(worker=worker)):
            assert isinstance(command, Send)
            running[command.worker] = command
    handled = 0
    began = time.perf_counter()
    while handled < events:
        for worker in range(WORKERS):
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
                for command in server.handle(event):
                    if isinstance(command, Send):
                        running[command.worker] = command
    seconds = time.perf_counter() - began
    server.check()
    return handled / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=200_000)
    events: int = parser.parse_args().events
    torch.set_num_threads(1)
    entrants: dict[str, Policy] = {
        "asynchronous": policies.Asynchronous(),
        "synchronous": policies.Synchronous(),
        "backup_workers_8": policies.BackupWorkers(8),
        "k_batch_async_16": policies.KBatchAsync(16),
        "bounded_staleness_3": policies.BoundedStaleness(3),
    }
    rates: dict[str, list[float]] = {name: [] for name in entrants}
    for _ in range(REPEATS):  # interleaved, so that a noisy moment hits all alike
        for name, policy in entrants.items():
            rates[name].append(events_per_second(policy, events // REPEATS))
    record(
        "server-core",
        {
            "workers": WORKERS,
            "params": SIZE,
            "events_per_s": {n: round(statistics.median(r)) for n, r in rates.items()},
            "lowest_events_per_s": {n: round(min(r)) for n, r in rates.items()},
        },
    )


if __name__ == "__main__":
    main()
