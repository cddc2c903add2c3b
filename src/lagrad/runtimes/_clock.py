"""The clock of runs whose seconds are real ones."""

import math
import time

from lagrad.core import Tick

from ._run import Run


class Clock:
    """Moves the time of a run on, as the machine's goes, until the run stops."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._zero = math.inf

    @property
    def goes(self) -> bool:
        """Whether it has been started: workers may be there before."""
        return self._zero < math.inf

    def start(self, now: float) -> None:
        """It is `now` seconds in the run: 0, or when a run that goes on was left."""
        self._run.now = now
        self._zero = time.monotonic() - now

    def look(self) -> None:
        """The time of the run is that of now."""
        if self.goes and self._run.stopped is None:
            self._run.now = time.monotonic() - self._zero

    def left(self, *moments: float | None) -> float:
        """Seconds until the first of these moments or the server's tick, >= 0; infinite for none.

        Once the run has stopped, none of them comes.
        """
        run = self._run
        if run.stopped is not None:
            return math.inf
        times = [moment for moment in (run.server.next_tick(), *moments) if moment is not None]
        return max(0.0, min(times, default=math.inf) - run.now)

    def due(self) -> Tick | None:
        """The server's tick, once its time has come."""
        run, tick = self._run, self._run.server.next_tick()
        if run.stopped is not None or tick is None or run.now < tick:
            return None
        return Tick(time=run.now)
