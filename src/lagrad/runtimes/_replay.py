"""The clock of a recorded run: the same events again, on a fresh server."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lagrad.core import Command, Event, Join, Leave, Pull, Push, Send, Tick
from lagrad.tasks import Differentiator
from lagrad.trace import (
    AnyRecord,
    Ended,
    Joined,
    Left,
    Pulled,
    Pushed,
    Ticked,
    digest,
    of_command,
    of_event,
    read_trace,
)

from ._run import new_server
from ._setup import Setup
from ._threads import torch_threads


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


def replay(
    setup: Setup, trace: Path, *, progress: Callable[[int], None] | None = None, tell: int = 10
) -> Replayed:
    """Recompute a run from its trace and compare every answer and the final parameters.

    Gradients are computed again, at the points that the fresh server sends, on the recorded
    leases, with one torch thread as all runtimes do. progress: called with the number of events.
    tell: how many differences to list. Raises: ValueError for a damaged trace.
    """
    with torch_threads(1):
        return _Replay(setup, tell).go(trace, progress)


class _Replay:
    def __init__(self, setup: Setup, tell: int) -> None:
        self.differentiator = Differentiator(setup.task, setup.seed)
        self.server = new_server(setup, self.differentiator)
        # A worker's gradient is computed when its point is sent; its push may come much later.
        self.computed: dict[int, tuple[Tensor, float, Tensor | None]] = {}
        self.differences: list[str] = []
        self.tell = tell

    def go(self, trace: Path, progress: Callable[[int], None] | None) -> Replayed:
        events = commands = 0
        ended = False
        expected: list[AnyRecord] = []
        for record in read_trace(trace):
            if ended:
                self._differ(record, None)
                break
            if isinstance(record, Joined | Left | Pulled | Pushed | Ticked):
                self._missing(expected)
                try:
                    commands_now = self._handle(record)
                except ValueError as error:
                    self.differences.append(f"recorded {record}, which cannot follow: {error}")
                    break
                expected = self._answers(commands_now)
                events += 1
                if progress is not None:
                    progress(events)
            elif isinstance(record, Ended):
                ended = True
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
            if not ended:
                self.differences.append("the record has no end: its run was killed or it was cut")
        self.server.check()
        return Replayed(
            events, commands, tuple(self.differences[: self.tell]), digest(self.server.params)
        )

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
        self.differences.append(f"recorded {recorded}, recomputed {recomputed}")

    def _compute(self, send: Send) -> None:
        gradient = torch.empty_like(self.server.params)
        buffers = self.differentiator.initial_buffers() if send.buffers is None else send.buffers
        loss, after = self.differentiator(send.point, send.lease, buffers=buffers, out=gradient)
        self.computed[send.worker] = (
            gradient,
            loss,
            None if send.buffers is None else after,
        )

    def _event(self, record: Joined | Left | Pulled | Pushed | Ticked) -> Event:
        match record:
            case Joined(time, worker, incarnation):
                return Join(worker=worker, incarnation=incarnation, time=time)
            case Left(time, worker, incarnation):
                return Leave(worker=worker, incarnation=incarnation, time=time)
            case Pulled(time, worker, incarnation):
                return Pull(worker=worker, incarnation=incarnation, time=time)
            case Ticked(time):
                return Tick(time=time)
            case Pushed():
                if record.worker not in self.computed:
                    raise ValueError(f"worker {record.worker} has nothing to push")
                values, loss, buffers = self.computed.pop(record.worker)
                return Push(
                    worker=record.worker,
                    incarnation=record.incarnation,
                    sequence=record.sequence,
                    version=record.version,
                    lease=record.lease,
                    values=values,
                    loss=loss,
                    buffers=buffers,
                    time=record.time,
                )
