"""Signs of life over a wire: who shows them, and who watches a run's processes by them."""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from lagrad.runtimes._pulse import EVERY_S, Pulse
from lagrad.runtimes._watch import Signs, Watch

from ._messages import Beat
from ._wire import Address, Letter, Wire

#: Of the name of a wire that beats come by; the rest is that of the process's other one.
_PREFIX = b"p"


@contextmanager
def beating(server: Address, name: bytes) -> Iterator[Pulse]:
    """A pulse of this process that a listener is shown, as long as this lasts.

    name: by which the listener knows the process. Beats have a wire of their own, so that no
    tensor is in their way; one that finds no room is left out.
    """
    pulse, over = Pulse.allocate(), threading.Event()
    wire = Wire.connect(server, _PREFIX + name)

    def pause() -> bool:
        wire.send(Beat(*pulse.signs()), waits=False)
        return not over.wait(EVERY_S)

    thread = pulse.beat(pause)
    try:
        yield pulse
    finally:
        over.set()
        thread.join()
        wire.close()


class Pulses:
    """The listener's side: tells which of the processes that beat hangs. after: as of `Watch`."""

    def __init__(self, *, after: float | None) -> None:
        self._watch: Watch[bytes] | None = None if after is None else Watch(after=after)
        self._shown: dict[bytes, Signs] = {}

    def take(self, letter: Letter) -> bool:
        """Whether a letter is a beat; if so, it has been taken in."""
        beat = letter.message
        if not (isinstance(beat, Beat) and letter.peer.startswith(_PREFIX)):
            return False
        self._shown[letter.peer.removeprefix(_PREFIX)] = Signs(
            beat.beats, beat.begun, beat.computed
        )
        return True

    def look(self, now: float, names: Collection[bytes]) -> dict[bytes, str]:
        """Who hangs of the processes of these names, and why, in words. now: seconds."""
        self._shown = {name: signs for name, signs in self._shown.items() if name in names}
        return {} if self._watch is None else self._watch.look(now, self._shown)
