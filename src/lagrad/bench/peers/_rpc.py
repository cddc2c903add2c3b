"""An asynchronous parameter server over torch.distributed.rpc, as its tutorials do it."""

import threading
import warnings
from typing import Any

import torch.distributed.rpc as torch_rpc
import torch.multiprocessing as mp
from torch import Tensor

from ._load import Load, Measured, Replica, Snapshot, Watch
from ._together import TIMEOUT_S, Member, free_port, together


def rpc(load: Load) -> Measured:
    """A server process and workers: each sends its gradients and gets the parameters in answer.

    Source: the tutorials "Implementing a Parameter Server Using Distributed RPC Framework" and
    "Implementing Batch RPC Processing Using Asynchronous Executions", with batches of one.
    """
    port = free_port()
    server = mp.get_context("spawn").Process(target=_serve, args=(load, port), daemon=True)
    server.start()
    try:
        measured = together(_Rpc, load, port)
        server.join(TIMEOUT_S)
    finally:
        if server.is_alive():
            server.terminate()
    return measured


class _Server(Replica):
    def __init__(self, load: Load) -> None:
        super().__init__(load, worker=load.workers)
        self.lock = threading.Lock()
        self.watch = Watch(load.watch_every)

    def apply(self, gradients: list[Tensor]) -> list[Tensor]:
        with self.lock:
            for parameter, gradient in zip(self.model.parameters(), gradients, strict=True):
                parameter.grad = gradient
            self.optimizer.step()
            self.watch.look(self.model)
            return [parameter.data for parameter in self.model.parameters()]


#: Of the server's process; what is called from afar finds it here, as in the tutorial.
_server: list[_Server] = []


def _push(gradients: list[Tensor]) -> list[Tensor]:
    return _server[0].apply(gradients)


def _start() -> None:
    _server[0].watch.start()


def _snapshots() -> list[Snapshot]:
    return _server[0].watch.snapshots


def _serve(load: Load, port: int) -> None:
    _server.append(_Server(load))
    _meet("server", load.workers, load, port)
    torch_rpc.shutdown()


def _meet(name: str, rank: int, load: Load, port: int) -> None:
    options = torch_rpc.TensorPipeRpcBackendOptions(
        init_method=f"tcp://127.0.0.1:{port}", rpc_timeout=TIMEOUT_S
    )
    with warnings.catch_warnings():  # of torch about its own way to make the group
        warnings.simplefilter("ignore", UserWarning)
        torch_rpc.init_rpc(  # type: ignore[no-untyped-call]
            name, rank=rank, world_size=load.workers + 1, rpc_backend_options=options
        )


class _Rpc(Member):
    def __init__(self, load: Load, worker: int, port: int) -> None:
        super().__init__(load, worker)
        self.worker = worker
        _meet(f"worker{worker}", worker, load, port)

    def step(self) -> None:
        """There and back."""
        self.backward()
        fresh = self._call(_push, [p.grad for p in self.model.parameters()])
        for parameter, value in zip(self.model.parameters(), fresh, strict=True):
            parameter.data = value

    def start(self) -> None:
        """On the server."""
        if self.worker == 0:
            self._call(_start)

    def end(self) -> list[Snapshot]:
        """Those of the server, told by one worker."""
        found: list[Snapshot] = self._call(_snapshots) if self.worker == 0 else []
        torch_rpc.shutdown()
        return found

    def _call(self, function: Any, *arguments: Any) -> Any:
        return torch_rpc.rpc_sync("server", function, args=arguments)
