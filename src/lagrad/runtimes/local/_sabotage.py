"""Faults on purpose in processes: signals at their time."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from lagrad.chaos import Kill, Pause, Preempt
from lagrad.runtimes._run import Run
from lagrad.trace import SERVER, Struck


class Victim(Protocol):
    """A worker's place. ready: whether there is a worker that can be hit."""

    @property
    def ready(self) -> bool:
        """See above."""
        ...


class Sabotage:
    """Carries out the faults of a run that have a time.

    places: of the workers, by number. send: brings a signal to a worker's process.
    """

    def __init__(
        self,
        run: Run,
        places: Mapping[int, Victim],
        send: Callable[[int, signal.Signals], None],
    ) -> None:
        self._run = run
        self._places = places
        self._send = send
        self._paused_until: dict[int, float] = {}
        self._ending: dict[int, int] = {}  # by which fault

    def _live(self) -> set[int | Literal["server"]]:
        processes = self._run.processes
        ready = {number for number in processes if self._places[number].ready}
        return {"server", *(ready - self._ending.keys())}

    def next_time(self) -> float | None:
        """When there is something to do, on the run's clock, or None."""
        moments = [self._run.plan.next_time(self._live()), *self._paused_until.values()]
        return min((moment for moment in moments if moment is not None), default=None)

    def keep_time(self) -> None:
        """Do what is due."""
        run = self._run
        for worker, until in list(self._paused_until.items()):
            if run.now >= until:
                self._go_on(worker)
        for number, fault in run.plan.due(run.now, live=self._live()):
            if isinstance(fault, Kill) and fault.worker == "server":
                self._kill_server(number)
            elif isinstance(fault, Pause):
                if self._signal(fault.worker, signal.SIGSTOP):
                    run.struck(number, fault.worker)
                    until = max(run.now + fault.seconds, self._paused_until.get(fault.worker, 0.0))
                    self._paused_until[fault.worker] = until
            else:
                asked = signal.SIGTERM if isinstance(fault, Preempt) else signal.SIGKILL
                if self._signal(fault.worker, asked):
                    self._ending[fault.worker] = number

    def _kill_server(self, number: int) -> None:
        """This process ends here; whoever goes on finds the reason in the trace."""
        run = self._run
        run.trace.struck(Struck(run.now, number, Kill.kind, SERVER))
        run.trace.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    def lost(self, worker: int) -> bool:
        """A worker is gone; whether by our hand. That is noted now, before its leave is."""
        paused = self._paused_until.pop(worker, None) is not None
        number = self._ending.pop(worker, None)
        if number is not None:
            self._run.struck(number, worker)
        return paused or number is not None

    def cease(self) -> None:
        """Nobody stands still any more."""
        for worker in list(self._paused_until):
            self._go_on(worker)

    def _go_on(self, worker: int) -> None:
        del self._paused_until[worker]
        self._signal(worker, signal.SIGCONT)

    def _signal(self, worker: int, number: signal.Signals) -> bool:
        if worker not in self._run.processes:
            return False
        self._send(worker, number)
        return True
