"""Bytes to a host whose workers share a copy of each point, and to one where each has its own.

    python benchmarks/ray_hosts.py [--updates 20] [--workers 3]

One Ray of two nodes in a network namespace of its own: the server on one, all workers on the other,
synchronous steps, a gradient that costs nothing. All that passes the namespace's loopback is
counted by the kernel (`/proc/net/dev`), Ray's own traffic and encryption included, from the tenth
of the updates to the last. Needs root, for `ip netns`.
"""

import argparse
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray
from ray.cluster_utils import Cluster

from lagrad import Until, train
from lagrad.bench import free_task
from lagrad.policies import Synchronous
from lagrad.rules import SGD
from lagrad.runtimes import Ray, Run
from lagrad.runtimes.ray._crew import Crew
from machine import record

NAME, HOST = "lagrad-one", "10.78.0.1"
SIZES = (431_080, 11_000_000)


def loopback() -> int:
    """Bytes that have come through it."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    (line,) = [each for each in lines if each.strip().startswith("lo:")]
    return int(line.split(":")[1].split()[0])


class Counter:
    """Looks at the loopback and the clock when a version is reached."""

    def __init__(self, *versions: int) -> None:
        self.versions = list(versions)
        self.seen: list[tuple[int, int, float]] = []

    def __call__(self, run: Run) -> None:
        """See above."""
        if self.versions and run.server.version >= self.versions[0]:
            self.versions.pop(0)
            self.seen.append((run.server.version, loopback(), time.monotonic()))


def measure(numel: int, workers: int, updates: int, *, shared: bool) -> dict[str, float]:
    """Megabytes and seconds per update."""
    counter = Counter(updates // 10, updates)
    handle = Run.handle

    def counted(run: Run, event: Any) -> Any:
        commands = handle(run, event)
        counter(run)
        return commands

    alone = Crew._alone if shared else lambda *_: True
    with patch.object(Run, "handle", counted), patch.object(Crew, "_alone", alone):
        train(
            free_task(numel),
            rule=SGD(lr=1e-4),
            policy=Synchronous(),
            runtime=Ray(),
            workers=workers,
            until=Until(updates=updates),
        )
    (first, before, began), (last, after, ended) = counter.seen
    return {
        "MB per update": round(1e-6 * (after - before) / (last - first), 2),
        "seconds per update": round((ended - began) / (last - first), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        lines = [f"ip netns add {NAME}", f"ip -n {NAME} link set lo up"]
        lines += [f"ip -n {NAME} link add d0 type veth peer name d1"]
        lines += [f"ip -n {NAME} link set {end} up" for end in ("d0", "d1")]
        lines += [f"ip -n {NAME} addr add {HOST}/24 dev d0"]
        lines += [f"ip -n {NAME} route add default dev d0"]  # so that Ray finds its own address
        for line in lines:
            subprocess.run(line.split(), check=True)
        try:
            again = ["ip", "netns", "exec", NAME, sys.executable, *sys.argv, "--inside"]
            subprocess.run(again, check=True)
        finally:
            subprocess.run(["ip", "netns", "del", NAME], check=True)
        return
    sys.argv.remove("--inside")
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    figures: dict[str, Any] = {"ray": ray.__version__, **vars(options)}
    del figures["inside"]
    try:
        cluster.add_node(num_cpus=options.workers, object_store_memory=80_000_000)
        ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        for numel in SIZES:
            vector = 4e-6 * numel
            figures[f"{numel} parameters"] = {
                "a vector: MB": round(vector, 2),
                **{
                    name: measure(numel, options.workers, options.updates, shared=shared)
                    for name, shared in (("own", False), ("shared", True))
                },
            }
            print(figures, flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]
    record("ray-hosts", figures)


if __name__ == "__main__":
    main()
