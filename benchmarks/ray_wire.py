"""Gradients and points between two simulated hosts, beside raw ZeroMQ with the same bytes.

    python benchmarks/ray_wire.py [--seconds 4] [--rounds 3]

Two network namespaces joined by a virtual cable, a process in each: TCP through the kernel's
stack, no shared memory. A round trip is a point of P float32 one way and a gradient of P back.
lagrad: the runtime's own sockets and messages (`runtimes/_wire.py`), CURVE encryption included,
with the server's copy of the point and the worker's of it. raw: two ZeroMQ sockets that
send the same bytes, without and with CURVE. The three take turns; figures are medians of the rounds
in megabytes per second, both ways together. Needs root, for `ip netns`.
"""

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

import msgspec
import torch
import zmq

from lagrad.core import Lease
from lagrad.runtimes._memory import Points
from lagrad.runtimes._messages import Compute, Computed, Hello, Stop
from lagrad.runtimes._wire import Address, Keys, Wire, poll
from machine import record

HOST, OTHER = "10.77.0.1", "10.77.0.2"
NAMES = ("lagrad-a", "lagrad-b")
WAYS = ("lagrad", "raw", "raw with CURVE")


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
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.serve:
        way, numel, seconds = options.serve
        serve(way, int(numel), float(seconds))
        return
    if options.answer:
        way, numel, url, *words = options.answer
        answer(way, int(numel), url, words)
        return
    figures: dict[str, Any] = {"seconds": options.seconds, "rounds": options.rounds}
    namespaces("add")
    try:
        for numel in (431_080, 11_000_000):
            rates: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(options.rounds):
                for way in WAYS:
                    rates[way].append(measure(way, numel, options.seconds))
            medians = {way: statistics.median(each) for way, each in rates.items()}
            figures[f"{numel} parameters"] = {
                **{f"{way}: MB/s": round(each, 1) for way, each in medians.items()},
                "share of raw": round(medians["lagrad"] / medians["raw"], 3),
                "share of raw with CURVE": round(medians["lagrad"] / medians["raw with CURVE"], 3),
            }
    finally:
        namespaces("del")
    record("ray-wire", figures)


if __name__ == "__main__":
    main()
