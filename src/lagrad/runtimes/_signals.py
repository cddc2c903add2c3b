"""Signals that ask a run to end: how they wait until it takes them, and how it does."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: What a run takes as a wish that it ends in order.
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


class DeferredSignals:
    """From `begin` to `end` a signal waits for `taking_signals`; a second one acts as before.

    asked: whether one has come. Signals reach the main thread alone; in another thread this does
    nothing.

    >>> signals = DeferredSignals()
    >>> signals.begin()
    >>> signal.raise_signal(signal.SIGINT)
    >>> signals.end()
    >>> signals.asked
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


@contextmanager
def taking_signals(take: Callable[[], None]) -> Iterator[None]:
    """`take` is called at each signal, and at once where one has waited.

    >>> with taking_signals(lambda: print("taken")):
    ...     signal.raise_signal(signal.SIGINT)
    taken
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        take()

    before = {number: signal.signal(number, on_signal) for number in INTERRUPTIONS}
    try:
        if any(
            isinstance(handler, DeferredSignals) and handler.asked for handler in before.values()
        ):
            take()
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
