"""A process that is asked to end, by SIGTERM, does so where it harms nothing."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class AskedToEnd(BaseException):
    """Raised where the process waits; no Exception, which the task's code might catch."""


class Notice:
    """Takes SIGTERM from now on: what is under way comes to its end, what waits is given up.

    given: whether the process was asked. Signals reach the main thread alone; in another thread
    nothing is taken.
    """

    def __init__(self) -> None:
        self.given = False
        self._idle = False
        self._takes = threading.current_thread() is threading.main_thread()
        if self._takes:
            self._before = signal.signal(signal.SIGTERM, self._take)

    def end(self) -> None:
        """SIGTERM acts as before."""
        if self._takes:
            signal.signal(signal.SIGTERM, self._before)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.given = True
        if self._idle:
            self._idle = False  # a second signal finds a process that ends already
            raise AskedToEnd

    @contextmanager
    def idle(self) -> Iterator[None]:
        """While nothing is under way. Raises: AskedToEnd, also for a signal that came before."""
        self._idle = True
        try:
            if self.given:
                raise AskedToEnd
            yield
        finally:
            self._idle = False
