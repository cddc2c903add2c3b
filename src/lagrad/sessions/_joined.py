"""A script's process as a worker of a run: the server is in the process that started it."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import NoReturn

from safetensors.torch import save_file
from torch import Tensor

from lagrad import specs
from lagrad.core import Rule
from lagrad.runtimes import while_connected

from ._groups import Group
from ._handshake import recognise
from ._link import Finished, Job
from ._memory import Memory
from ._messages import (
    Asked,
    Begun,
    Compute,
    Delivered,
    Described,
    FromScript,
    Given,
    Hello,
    Logged,
    Mapped,
    Paused,
    Refused,
    Resumed,
    Scored,
    Seated,
    Stop,
    ToScript,
    encode,
    read_by_script,
)
from ._optimizer import Rates
from ._tracked import Tracked

#: The environment by which `lagrad run` tells its processes where the server is.
SERVER, KEY, WORKER, LIFE = (f"LAGRAD_{name}" for name in ("SERVER", "KEY", "WORKER", "LIFE"))
#: Of Linux: which signal a process gets when the one that started it has died.
_PR_SET_PDEATHSIG = 1
#: The operating system counts the milliseconds of a poll in 31 bits.
_LONGEST_POLL_S = 2.0e6


class Joined:
    """The link of a process that `lagrad run` has started."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.worker = int(environment[WORKER])
        key = bytes.fromhex(environment[KEY])
        try:
            self._connection: Connection = Client(environment[SERVER], "AF_UNIX")
            recognise(self._connection, key, side="script")
        except (OSError, EOFError):
            _server_gone()
        _die_with_parent()
        self._send(Hello(self.worker, int(environment[LIFE])))
        seated = self._receive()
        assert isinstance(seated, Seated)
        self.workers, self.seed = seated.workers, seated.seed
        self._state = Path(seated.state)
        self._durations = specs.parse("delays", seated.delays).stream(self.worker, self.seed)
        self._seconds_per_job = seated.seconds_per_job
        self._sequence = 0
        self._finished: Finished | None = None

    def describe(
        self, tracked: Tracked, rule: Rule | None, groups: Sequence[Group]
    ) -> tuple[Tensor, Tensor]:
        """See `Link`."""
        state = {k: v.detach().clone().contiguous() for k, v in tracked.model.state_dict().items()}
        save_file(state, self._state)
        layout, buffers = tracked.layout, tracked.buffer_layout
        self._send(
            Described(
                names=layout.names,
                shapes=layout.shapes,
                dtype=str(layout.dtype).removeprefix("torch."),
                buffer_names=buffers.names,
                buffer_shapes=buffers.shapes,
                counters=tracked.counters(),
                homes=tracked.homes(),
                rule="" if rule is None else _specification(rule),
                groups=tuple(groups),
                fixed=tracked.fixed(),
            )
        )
        answer = self._receive()
        if isinstance(answer, Stop):
            # The run was over before this process was there.
            self._finished = Finished(tracked.pack(), tracked.pack_buffers())
            return self._finished.params, self._finished.buffers
        assert isinstance(answer, Mapped)
        self._memory = Memory.map(
            Path(answer.path), parameters=layout.size, dtype=layout.dtype, buffers=buffers.size
        )
        self._memory.pulse.beat(while_connected(self._connection))
        return self._memory.point, self._memory.buffers

    def begin(
        self, num_samples: int | None, batch_size: int, *, steps: int, by_speed: bool
    ) -> Job | Finished:
        """See `Link`."""
        if self._finished is not None:
            return self._finished
        self._send(Begun(num_samples, batch_size, steps, by_speed))
        return self._next_job(self._receive())

    def gradient(self) -> Tensor:
        """See `Link`."""
        return self._memory.gradient

    def deliver(self, buffers: Tensor, *, loss: float | None, rates: Rates) -> Job | Finished:
        """See `Link`."""
        if self._finished is not None:
            return self._finished
        self._memory.pushed.copy_(buffers)
        elapsed = time.monotonic() - self._began
        healthy = elapsed if self._seconds_per_job is None else self._seconds_per_job
        # Slowness burns no processor time; a message during it can only be Stop.
        idle = min(max(0.0, next(self._durations) * healthy - elapsed), _LONGEST_POLL_S)
        if not (idle and self._connection.poll(idle)):
            self._send(
                Delivered(self._sequence, self._job.version, self._job.lease.number, loss, rates)
            )
            self._sequence += 1
        return self._next_job(self._receive())

    def _next_job(self, answer: ToScript) -> Job | Finished:
        if isinstance(answer, Stop):
            memory = self._memory
            self._finished = Finished(memory.trained, memory.trained_buffers)
            return self._finished
        assert isinstance(answer, Compute)
        point, buffers = self._memory.point, self._memory.buffers
        self._job = Job(answer.version, answer.lease, point, buffers, answer.steps)
        self._began = time.monotonic()
        return self._job

    def pause(self) -> None:
        """See `Link`."""
        if self._finished is None:
            self._send(Paused())

    def resume(self) -> Job | Finished | None:
        """See `Link`."""
        if self._finished is not None:
            return self._finished
        self._send(Resumed())
        answer = self._receive()
        return None if isinstance(answer, Given) else self._next_job(answer)

    def trained(self) -> tuple[Tensor, Tensor]:
        """See `Link`."""
        if self._finished is None:
            self._send(Asked())
            answer = self._receive()
            if isinstance(answer, Stop):  # which is sent once, and has given them, too
                self._finished = Finished(self._memory.trained, self._memory.trained_buffers)
            else:
                assert isinstance(answer, Given)
        return self._memory.trained.clone(), self._memory.trained_buffers.clone()

    def scored(self, scores: dict[str, float]) -> None:
        """See `Link`."""
        self._send(Scored(_finite(scores)))

    def log(self, values: dict[str, float]) -> None:
        """See `Link`."""
        self._send(Logged(_finite(values)))

    def _send(self, message: FromScript) -> None:
        try:
            self._connection.send_bytes(encode(message))
        except OSError:
            _server_gone()

    def _receive(self) -> ToScript:
        try:
            message = read_by_script(self._connection.recv_bytes())
        except (EOFError, OSError):
            _server_gone()
        if isinstance(message, Refused):
            raise RuntimeError(message.reason)
        return message


def _specification(rule: Rule) -> str:
    text = specs.describe(rule)
    try:
        if specs.parse("rule", text) == rule:
            return text
    except ValueError:
        pass
    raise ValueError(
        f"Expected a rule of lagrad, which the server can be told of by name, got {rule!r}; "
        "`lagrad list rules` shows them."
    )


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {k: v if abs(v) < float("inf") else None for k, v in values.items()}


def _die_with_parent() -> None:
    """Whatever the script is at when its server is killed: another process takes its place."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _server_gone() -> NoReturn:
    sys.stderr.write(f"lagrad: the server of this run is gone; process {os.getpid()} ends.\n")
    raise SystemExit(1)
