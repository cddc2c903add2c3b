"""The clock of a recorded run: the same events again, on a fresh server."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lagrad.core import Command, Event, Push, Send, decoded
from lagrad.tasks import Differentiator
from lagrad.trace import (
    AnyRecord,
    Ended,
    Joined,
    Left,
    Pulled,
    Pushed,
    Struck,
    Ticked,
    digest,
    event_of,
    of_command,
    of_event,
    push_of,
    read_trace,
)

from ._server import buffers_at, new_server
from ._setup import Setup
from ._threads import torch_threads

#: How many differences are listed.
_TOLD = 10


@dataclass(frozen=True)
class Replayed:
    """What a replay found.

    events, commands: how many were recomputed. differences: the first few lines in which the
    recorded and the recomputed run differ, empty if they agree. digest: of the recomputed
    parameters.
    """

    events: int
    commands: int
    differences: tuple[str, ...]
    digest: str

    @property
    def identical(self) -> bool:
        """Versions, staleness, verdicts and parameters agree to the bit."""
        return not self.differences


def replay(setup: Setup, run: Path, *, progress: Callable[[int], None] | None = None) -> Replayed:
    """Recompute the run in a folder and compare every answer, the parameters and the weights.

    Gradients are computed again, at the points that the fresh server sends, on the recorded
    leases, with one torch thread as all runtimes do. progress: called with the number of events.
    Raises: ValueError for a damaged trace.
    """
    with torch_threads(1):
        return _Replay(setup).go(run, progress)


def _said(result: Path) -> dict[str, Any]:
    return decoded(msgspec.json.Decoder(dict[str, Any]).decode, result.read_bytes())


class _Replay:
    def __init__(self, setup: Setup) -> None:
        self.buffer_policy = setup.buffers
        self.differentiator = Differentiator(setup.task, setup.seed)
        self.server = new_server(setup, self.differentiator)
        # A worker's gradient is computed when its point is sent; its push may come much later.
        self.computed: dict[int, tuple[Tensor, float, Tensor | None]] = {}
        self.poisoned: set[int] = set()
        self.last_push: dict[int, Push] = {}
        self.differences: list[str] = []

    def go(self, run: Path, progress: Callable[[int], None] | None) -> Replayed:
        events = commands = 0
        ended: Ended | None = None
        expected: list[AnyRecord] = []
        for record in self._but_faults(run):
            if ended is not None:
                self._differ(record, None)
                break
            if isinstance(record, Joined | Left | Pulled | Pushed | Ticked):
                self._missing(expected)
                try:
                    commands_now = self._handle(record)
                # PyTorch refuses a learning rate that the parameters' type cannot hold.
                except (ValueError, RuntimeError) as error:
                    self._tell(f"recorded {record}, which cannot follow: {error}")
                    break
                expected = self._answers(commands_now)
                events += 1
                if progress is not None:
                    progress(events)
            elif isinstance(record, Ended):
                ended = record
                self._missing(expected)
                mine = Ended(self.server.version, record.stopped, digest(self.server.params))
                if mine != record:
                    self._differ(record, mine)
            else:
                commands += 1
                mine_next = expected.pop(0) if expected else None
                if mine_next != record:
                    self._differ(record, mine_next)
        else:
            self._missing(expected)
            if ended is None:
                self._tell("the record has no end: its run was killed or it was cut")
            else:
                self._compare_what_is_left(run, ended)
        self.server.check()
        return Replayed(events, commands, tuple(self.differences), digest(self.server.params))

    def _but_faults(self, run: Path) -> Iterator[AnyRecord]:
        """The records without those of faults, of which one says what a push held."""
        for record in read_trace(run / "trace.jsonl"):
            if not isinstance(record, Struck):
                yield record
            elif record.kind == "nan":
                self.poisoned.add(record.worker)

    def _compare_what_is_left(self, run: Path, ended: Ended) -> None:
        """The files beside the trace: what the run said of its trace, and its weights."""
        try:
            said = _said(run / "result.json")
            saved = load_file(run / "checkpoints" / "model.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            self._tell(f"the run has ended, but a file beside its trace cannot be read: {error}")
            return
        sha256 = hashlib.sha256((run / "trace.jsonl").read_bytes()).hexdigest()
        if said.get("trace_sha256") != sha256:
            self._tell("the trace is not the one of which result.json has the SHA-256")
        total = self.server.total_momentum.total
        # Where the vector is in shards nobody sees it move: nothing was measured.
        if said.get("total_momentum") not in (None, total):
            self._tell(f"recorded a total momentum of {said['total_momentum']}, recomputed {total}")
        if ended.stopped == "diverged":
            return  # the weights are those of its last good evaluation
        params = self.server.evaluation_params
        buffers = buffers_at(params, self.server, self.differentiator, self.buffer_policy)
        state_dict = self.differentiator.state_dict(params, buffers)
        for name in sorted(state_dict.keys() | saved.keys()):
            mine, theirs = state_dict.get(name), saved.get(name)
            if mine is None or theirs is None or digest(mine) != digest(theirs):
                self._tell(f"the saved weights differ from the recomputed ones in {name}")

    def _tell(self, difference: str) -> None:
        if len(self.differences) < _TOLD:
            self.differences.append(difference)

    def _handle(self, record: Joined | Left | Pulled | Pushed | Ticked) -> list[Command]:
        event = self._event(record)
        if of_event(event) != record:
            self._differ(record, of_event(event))
        return self.server.handle(event)

    def _answers(self, commands: list[Command]) -> list[AnyRecord]:
        for command in commands:
            if isinstance(command, Send):
                self._compute(command)
        return [of_command(command) for command in commands]

    def _missing(self, expected: list[AnyRecord]) -> None:
        for record in expected:
            self._differ(None, record)
        expected.clear()

    def _differ(self, recorded: AnyRecord | None, recomputed: AnyRecord | None) -> None:
        self._tell(f"recorded {recorded}, recomputed {recomputed}")

    def _compute(self, send: Send) -> None:
        gradient = torch.empty_like(self.server.params)
        buffers = self.differentiator.initial_buffers() if send.buffers is None else send.buffers
        loss, after, _ = self.differentiator(send.point, send.lease, buffers=buffers, out=gradient)
        self.computed[send.worker] = (
            gradient,
            loss,
            None if send.buffers is None else after,
        )

    def _event(self, record: Joined | Left | Pulled | Pushed | Ticked) -> Event:
        return self._push(record) if isinstance(record, Pushed) else event_of(record)

    def _push(self, record: Pushed) -> Push:
        last = self.last_push.get(record.worker)
        if last is not None and (last.incarnation, last.sequence) == (
            record.incarnation,
            record.sequence,
        ):
            return msgspec.structs.replace(last, time=record.time)  # it came twice
        if record.worker not in self.computed:
            raise ValueError(f"worker {record.worker} has nothing to push; a line is missing")
        values, loss, buffers = self.computed.pop(record.worker)
        if record.worker in self.poisoned:
            self.poisoned.remove(record.worker)
            values = torch.full_like(values, math.nan)
        push = push_of(record, values, loss=loss, buffers=buffers)
        self.last_push[record.worker] = push
        return push
