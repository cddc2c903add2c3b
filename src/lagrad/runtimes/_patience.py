"""Signals that come when a run has files already, but takes no signals yet, wait for it."""

import signal
import threading
from types import FrameType

#: What a run takes as a wish that it ends in order.
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


class Patience:
    """From `begin` to `end` a signal waits for `Run.interruptible`; a second one acts as before.

    asked: whether one has come. Signals reach the main thread alone; in another thread this does
    nothing.

    >>> patience = Patience()
    >>> patience.begin()
    >>> signal.raise_signal(signal.SIGINT)
    >>> patience.end()
    >>> patience.asked
    True
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def begin(self) -> None:
        """Signals wait from now on."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self) for number in INTERRUPTIONS}

    def end(self) -> None:
        """Signals act as before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        del frame
        if self.asked:
            self.end()
            signal.raise_signal(number)
        self.asked = True
