"""Ray: connecting, starting actors, noticing their ends. The one file that imports ray."""

import importlib.util
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from lagrad.runtimes._result import RunFailed

#: How HTTP/2, and so gRPC, begins, with empty settings; the frame that the other side begins with
#: is of type 4, after three bytes of length.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = b"\x04"
#: Of a Ray of our own: no tensors pass through its object store.
_OBJECT_STORE_BYTES = 100_000_000
#: Parts of a resource that Ray tells apart.
_FINEST = 10_000


def require_packages() -> None:
    """Refuse to go on without ray and pyzmq. Raises: ValueError saying how to get them."""
    missing = [
        package
        for module, package in (("ray", "ray"), ("zmq", "pyzmq"))
        if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise ValueError(
            f"Expected the packages ray and pyzmq, got no {' and no '.join(missing)}; "
            "install them with: pip install 'lagrad[ray]'."
        )


@dataclass(frozen=True)
class End:
    """An actor's end. node_lost: whether its node went; words: what is known; failed: the task's
    own code raised; hung: it was ended by force, since it hung.
    """

    key: Any
    words: str
    node_lost: bool
    failed: bool
    hung: bool = False


class Cluster:
    """This process's view of Ray, for one run.

    address: of a cluster; None: the one this process is connected to, else a new one on this
    machine with `cpus` logical processors, which ends with the run. gpus: whether those of this
    machine are given to it, too. patience: seconds to connect.
    Raises: RunFailed where nobody answers.
    """

    def __init__(
        self, address: str | None, *, cpus: float, gpus: bool = False, patience: float
    ) -> None:
        import ray

        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            quiet: dict[str, Any] = {
                "include_dashboard": False,
                "log_to_driver": False,
                "logging_level": logging.ERROR,
            }
            if address is None:
                # Another cluster's address in the environment is not meant.
                quiet |= {"num_cpus": int(-(-cpus // 1)), "address": "local"}
                quiet |= {"object_store_memory": _OBJECT_STORE_BYTES}
                if gpus:  # Ray knows of some vendors' alone
                    quiet["num_gpus"] = torch.accelerator.device_count()
            else:
                _knock(address, patience)
                quiet = {"address": address, **quiet}
                del quiet["include_dashboard"]
            try:
                ray.init(**quiet)
            except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
                if "InvalidAuthToken" in f"{error} {error.__cause__}":
                    raise RunFailed(
                        f"Expected the token of the Ray cluster at {address!r}, got none or "
                        "another; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as its nodes do."
                    ) from error
                raise RunFailed(
                    f"No Ray cluster answers at {address!r}: {error}; "
                    "start one with `ray start --head`, or leave the address out."
                ) from error
        self.host = own_host()
        self.node = own_node()
        self._actors: dict[Any, tuple[Any, Any]] = {}
        #: Of actors that have told: node and process.
        self._places: dict[Any, tuple[str, int]] = {}
        self._hands: dict[str, Any] = {}

    def gpus_of_each(self, workers: int) -> float:
        """How many GPUs each of the workers can have: 1, or 1/2, 1/3, ... where they share.

        Raises: RunFailed for a cluster without.
        """
        resources: dict[str, float] = self._ray.cluster_resources()  # type: ignore[no-untyped-call]
        there = int(resources.get("GPU", 0))
        if not there:
            raise RunFailed(
                "Expected a Ray cluster with GPUs for workers that compute on them, got none; "
                "start its nodes with `ray start --num-gpus N`, or leave the device out."
            )
        return _FINEST // -(-workers // there) / _FINEST

    def start(
        self,
        key: Any,
        kind: type,
        *arguments: Any,
        cpus: float,
        gpus: float = 0.0,
        node: str | None = None,
        calls: int = 1,
    ) -> None:
        """Start an actor and its one long call, `work(*arguments)`, as soon as there is room.

        gpus: that Ray gives it; it sees these alone. node: where it should be, if it can. calls:
        that are carried out at a time. A single one is in the process's main thread, where signals
        are taken.
        """
        strategy: Any = "SPREAD"
        if node is not None:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            strategy = NodeAffinitySchedulingStrategy(node, soft=True)
        actor: Any = self._ray.remote(kind)
        options: dict[str, Any] = {
            "num_cpus": cpus,
            "max_restarts": 0,
            "scheduling_strategy": strategy,
            "max_concurrency": calls,
        }
        if gpus:
            options["num_gpus"] = gpus
        handle = actor.options(**options).remote(sys.path)
        self._actors[key] = (handle, handle.work.remote(*arguments))

    def hand_over(self, giver: Any, number: int, taker: Any) -> None:
        """Carry the state that one actor has frozen by this number to another."""
        state = self._actors[giver][0].frozen.remote(number)
        self._actors[taker][0].take.remote(state)

    def fetch(
        self, keys: Sequence[Any], number: int, *, patience: float
    ) -> Callable[[], list[Any]]:
        """What brings here, in any thread, the states that actors have frozen by this number.

        It raises ConnectionError where one is gone, or does not answer.
        """
        states = [self._actors[key][0].frozen.remote(number) for key in keys]

        def bring() -> list[Any]:
            try:
                found: list[Any] = self._ray.get(states, timeout=patience)
            except self._ray.exceptions.RayError as error:
                raise ConnectionError(_line(error)) from error
            return found

        return bring

    def settled(self, key: Any, node: str, process: int) -> None:
        """The actor has told on which node it is, and which process there."""
        self._places[key] = node, process

    def signal(self, key: Any, number: int) -> None:
        """Bring a signal to the process of an actor; those to one node arrive in order."""
        place = self._places.get(key)
        if place is None:
            return  # it has just ended
        node, process = place
        if node == self.node:
            _signal(process, number)
            return
        if node not in self._hands:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            there = NodeAffinitySchedulingStrategy(node, soft=False)
            hand: Any = self._ray.remote(_Hand)
            self._hands[node] = hand.options(num_cpus=0, scheduling_strategy=there).remote()
        self._hands[node].signal.remote(process, number)

    def alive(self) -> list[str]:
        """The nodes that live."""
        return [
            node["NodeID"]
            for node in self._ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"]
        ]

    def ended(self) -> list[End]:
        """Actors that have ended since."""
        refs = {work: key for key, (_, work) in self._actors.items()}
        if not refs:
            return []
        done, _ = self._ray.wait(list(refs), num_returns=len(refs), timeout=0, fetch_local=False)
        return [self._end(refs[work], work) for work in done]

    def _end(self, key: Any, work: Any) -> End:
        handle, _ = self._actors.pop(key)
        node, _ = self._places.pop(key, (None, 0))
        try:
            self._ray.get(work)
        except self._ray.exceptions.RayTaskError as error:
            return End(key, str(error), node_lost=False, failed=True)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(handle)  # should it only have been out of reach
            lost = node is not None and node not in self.alive()
            words = "its node is gone" if lost else f"its process is gone ({_line(error)})"
            return End(key, words, node_lost=lost, failed=False)
        return End(key, "ended", node_lost=False, failed=False)

    def stop(self, *keys: Any) -> None:
        """Kill actors, also those that wait for room."""
        for key in keys:
            found = self._actors.pop(key, None)
            self._places.pop(key, None)
            if found is not None:
                self._ray.kill(found[0])

    def fell(self, key: Any) -> None:
        """Kill an actor that hangs; Ray alone takes five seconds where the process stands still."""
        self.signal(key, signal.SIGKILL)
        self.stop(key)

    def stop_all(self) -> None:
        """Kill all that are left."""
        self.stop(*list(self._actors))

    def await_end(self, seconds: float) -> None:
        """Wait until all actors have ended by themselves, at most so long."""
        works = [work for _, work in self._actors.values()]
        if works:
            self._ray.wait(works, num_returns=len(works), timeout=seconds, fetch_local=False)

    def leave(self) -> None:
        """End the actors, and the connection if it was made for this run."""
        self.stop_all()
        for hand in self._hands.values():
            self._ray.kill(hand)
        if self._ours:
            self._ray.shutdown()


class _Hand:
    """An actor that passes signals on to processes of its node."""

    def signal(self, process: int, number: int) -> None:
        """To one of them."""
        _signal(process, number)


def _signal(process: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended, as will be told
        os.kill(process, number)


def own_node() -> str:
    """The node of Ray that this process is on."""
    import ray

    node: str = ray.get_runtime_context().get_node_id()
    return node


def own_host() -> str:
    """The address of this host, as other nodes of Ray know it."""
    import ray

    host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return host


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _knock(address: str, patience: float) -> None:
    """Find out quickly that nobody listens, which Ray finds out slowly."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return  # "auto" and its kind: Ray knows where to look
    if address.startswith("ray://"):
        raise RunFailed(
            f"The address {address} is of Ray's client, through which gradients would have to "
            "travel twice; run this on a node of the cluster with address 'auto'."
        )
    end = time.monotonic() + patience
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=patience) as connection:
                _require_grpc(connection, address)
        except OSError as error:
            if time.monotonic() >= end:
                raise RunFailed(
                    f"No Ray cluster answers at {address} within {patience:g} s ({error}); "
                    "start one with `ray start --head`, or leave the address out."
                ) from error
            time.sleep(min(0.2, patience))
        else:
            return


def _require_grpc(connection: socket.socket, address: str) -> None:
    """Refuse a server of something else, which Ray's client would ask again and again."""
    if os.environ.get("RAY_USE_TLS", "0") == "1":
        return
    connection.sendall(_PREFACE)
    with connection.makefile("rb") as answer:
        heard = answer.read(3 + len(_SETTINGS))
    if heard[3:] != _SETTINGS:
        raise RunFailed(
            f"The server at {address} is none of Ray's: it begins with {heard!r}; "
            "give the address that `ray start --head` has printed."
        )
