"""Gradients and points between two simulated hosts, beside raw ZeroMQ with the same bytes.

    python benchmarks/ray_wire.py [--seconds 4] [--rounds 3]

Two network namespaces joined by a virtual cable, a process in each: TCP through the kernel's
stack, no shared memory. A round trip is a point of P float32 one way and a gradient of P back.
lagrad: the runtime's own sockets and messages (`runtimes/wire`), CURVE encryption included,
with the server's copy of the point and the worker's of it. raw: two ZeroMQ sockets that
send the same bytes, without and with CURVE. Ray objects: a node of one Ray on each host, in the
clear; the point is put into the object store, an actor on the other host gets it and returns the
gradient. The three take turns, Ray comes after them, so that it does not run beside them; figures
are medians of the rounds in megabytes per second, both ways together. Needs root, for `ip netns`.
"""

import argparse
import logging
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import ray
import torch
import zmq

from lagrad.core import Lease
from lagrad.runtimes._memory import Points
from lagrad.runtimes.wire._messages import Compute, Computed, Hello, Stop
from lagrad.runtimes.wire._wire import Address, Keys, Wire, poll
from machine import record

HOST, OTHER = "10.77.0.1", "10.77.0.2"
NAMES = ("lagrad-a", "lagrad-b")
WAYS = ("lagrad", "raw", "raw with CURVE")
SIZES = (431_080, 11_000_000)
PORT = 6399
#: How long a node of Ray may take to be there, in seconds.
TIMEOUT_S = 60


def namespaces(command: str) -> None:
    """Make (`add`) or remove (`del`) the two hosts."""
    for name in NAMES:
        subprocess.run(["ip", "netns", command, name], check=True)
    if command == "add":
        ours, theirs = NAMES
        cable = f"ip -n {ours} link add a0 type veth peer name b0 netns {theirs}"
        setup = [cable, f"ip -n {ours} addr add {HOST}/24 dev a0"]
        setup += [f"ip -n {theirs} addr add {OTHER}/24 dev b0"]
        setup += [f"ip -n {n} link set {d} up" for n, d in zip(NAMES, ("a0", "b0"), strict=True)]
        setup += [f"ip -n {name} link set lo up" for name in NAMES]
        # Ray finds its own address by the way to others.
        setup += [f"ip -n {ours} route add default via {OTHER}"]
        setup += [f"ip -n {theirs} route add default via {HOST}"]
        for line in setup:
            subprocess.run(line.split(), check=True)


def raw_socket(kind: int, keys: Keys | None, *, listens: bool) -> "zmq.Socket[bytes]":
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    if keys is not None and listens:
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.listener_secret)
    elif keys is not None:
        socket.setsockopt(zmq.CURVE_SERVERKEY, keys.listener_public)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.connector_public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.connector_secret)
    return socket


def serve(way: str, numel: int, seconds: float) -> None:
    """The server's side: print where it is, then the megabytes per second."""
    keys = Keys.make()
    point = torch.zeros(numel)
    trips = 0
    if way == "lagrad":
        wire, address = Wire.listen(HOST, keys, 4 * numel)
        print(msgspec.json.encode((address.url, vars_of(keys))).decode(), flush=True)
        poll([wire], 60.0)
        hello = wire.receive()
        assert hello is not None
        points = Points(torch.zeros(2, numel))
        lease = Lease(0, 0, 0, 1)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            row = points.hold(0, trips, point)
            wire.send(Compute(trips, lease, None), points.rows[row], peer=hello.peer)
            poll([wire], 60.0)
            letter = wire.receive()
            assert letter is not None
            letter.gradient(None, point)
            trips += 1
        wire.send(Stop(), peer=hello.peer)
    else:
        socket = raw_socket(zmq.PAIR, keys if way != "raw" else None, listens=True)
        port = socket.bind_to_random_port(f"tcp://{HOST}")
        print(msgspec.json.encode((f"tcp://{HOST}:{port}", vars_of(keys))).decode(), flush=True)
        socket.recv()
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            socket.send(point.numpy().data, copy=False)
            socket.recv(copy=False)
            trips += 1
        socket.send(b"")
    elapsed = time.monotonic() - began
    print(8e-6 * numel * trips / elapsed, flush=True)
    time.sleep(0.5)  # so that the last message leaves


def vars_of(keys: Keys) -> list[str]:
    return [getattr(keys, name).hex() for name in keys.__dataclass_fields__]


def answer(way: str, numel: int, url: str, words: list[str]) -> None:
    """The worker's side."""
    keys = Keys(*(bytes.fromhex(word) for word in words))
    gradient = torch.zeros(numel)
    if way == "lagrad":
        wire = Wire.connect(Address(url, keys, 4 * numel), b"0.0")
        wire.send(Hello(0, ""))
        while poll([wire], 60.0):
            letter = wire.receive()
            if letter is None:
                continue
            if not isinstance(letter.message, Compute):
                return
            gradient.copy_(letter.tensor(-1, gradient.dtype, numel))
            wire.send(Computed(0, 0, 0, 0.0), gradient)
    socket = raw_socket(zmq.PAIR, keys if way != "raw" else None, listens=False)
    socket.connect(url)
    socket.send(b"")
    while len(socket.recv(copy=False)):
        socket.send(gradient.numpy().data, copy=False)


class Other:
    """The actor on the other host."""

    def __init__(self, numel: int) -> None:
        self.gradient = np.zeros(numel, dtype=np.float32)

    def answer(self, point: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The gradient at a point, which has come with the call."""
        assert len(point) == len(self.gradient)
        return self.gradient


def pass_objects(numel: int, seconds: float) -> None:
    """The driver's side: print the megabytes per second."""
    end = time.monotonic() + TIMEOUT_S
    ray.init(f"{HOST}:{PORT}", logging_level=logging.ERROR, log_to_driver=False)
    while "other" not in ray.cluster_resources():  # type: ignore[no-untyped-call]
        assert time.monotonic() < end, "the second node has not come"
        time.sleep(0.1)
    make: Any = ray.remote(Other)
    other = make.options(num_cpus=0, resources={"other": 1}).remote(numel)
    point = np.zeros(numel, dtype=np.float32)
    ray.get(other.answer.remote(ray.put(point)))
    trips, began = 0, time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        ray.get(other.answer.remote(ray.put(point)))
        trips += 1
    print(8e-6 * numel * trips / elapsed, flush=True)
    ray.shutdown()


def answers(port: int) -> bool:
    """Whether somebody listens on the first host."""
    code = f"import socket; socket.create_connection(({HOST!r}, {port}), 1)"
    command = ["ip", "netns", "exec", NAMES[0], sys.executable, "-c", code]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@contextmanager
def one_ray() -> Iterator[dict[str, str]]:
    """A node of one Ray on each host; the environment of who connects to it."""
    a, b = (["ip", "netns", "exec", name] for name in NAMES)
    # Ray keeps strangers out by a token, which all of one cluster must have.
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    start = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]
    start += ["--object-store-memory=500000000", "--disable-usage-stats"]
    head = ["--head", f"--node-ip-address={HOST}", f"--port={PORT}", "--include-dashboard=false"]
    second = [f"--address={HOST}:{PORT}", f"--node-ip-address={OTHER}", '--resources={"other": 1}']
    nodes: list[subprocess.Popen[bytes]] = []

    def begin(command: list[str]) -> None:
        node = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, start_new_session=True, env=environment
        )
        nodes.append(node)

    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        try:
            begin([*a, *start, *head, f"--temp-dir={folder}"])
            end = time.monotonic() + TIMEOUT_S
            while not answers(PORT):
                assert time.monotonic() < end, "the first node has not come"
            begin([*b, *start, *second])
            yield environment
        finally:
            for node in nodes:
                os.killpg(node.pid, signal.SIGTERM)
            for node in nodes:
                try:
                    node.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(node.pid, signal.SIGKILL)
                    node.wait()


def measure_objects(numel: int, seconds: float, environment: dict[str, str]) -> float:
    """As `measure`, through the object store of a Ray of two nodes, which is there."""
    driver = ["ip", "netns", "exec", NAMES[0], sys.executable, __file__]
    done = subprocess.run(
        [*driver, "--objects", str(numel), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=TIMEOUT_S + 60 + seconds,
        env=environment,
    )
    return float(done.stdout.split()[-1])


def measure(way: str, numel: int, seconds: float) -> float:
    """Megabytes per second between the two hosts."""
    me = [sys.executable, __file__]
    a, b = (["ip", "netns", "exec", name, *me] for name in NAMES)
    server = subprocess.Popen(
        [*a, "--serve", way, str(numel), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url, words = msgspec.json.decode(server.stdout.readline(), type=tuple[str, list[str]])
    worker = subprocess.Popen([*b, "--answer", way, str(numel), url, *words])
    rate = float(server.stdout.readline())
    server.wait(60)
    worker.wait(60)
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=3)
    parser.add_argument("--answer", nargs="+")
    parser.add_argument("--objects", nargs=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.serve:
        way, numel, seconds = options.serve
        serve(way, int(numel), float(seconds))
        return
    if options.objects:
        pass_objects(int(options.objects[0]), float(options.objects[1]))
        return
    if options.answer:
        way, numel, url, *words = options.answer
        answer(way, int(numel), url, words)
        return
    figures: dict[str, Any] = {
        "ray": ray.__version__,
        "seconds": options.seconds,
        "rounds": options.rounds,
    }
    rates: dict[tuple[int, str], list[float]] = defaultdict(list)
    namespaces("add")
    try:
        for numel in SIZES:
            for _ in range(options.rounds):
                for way in WAYS:
                    rates[numel, way].append(measure(way, numel, options.seconds))
        with one_ray() as environment:
            for numel in SIZES:
                for _ in range(options.rounds):
                    rate = measure_objects(numel, options.seconds, environment)
                    rates[numel, "ray objects"].append(rate)
    finally:
        namespaces("del")
    for numel in SIZES:
        medians = {way: statistics.median(rates[numel, way]) for way in (*WAYS, "ray objects")}
        lagrad = medians["lagrad"]
        figures[f"{numel} parameters"] = {
            **{f"{way}: MB/s": round(each, 1) for way, each in medians.items()},
            **{f"share of {way}": round(lagrad / medians[way], 3) for way in WAYS[1:]},
            "times ray objects": round(lagrad / medians["ray objects"], 2),
        }
    record("ray-wire", figures)


if __name__ == "__main__":
    main()
