"""Processes of scripts on this host that hang are ended."""

import time
from collections.abc import Sequence

from lagrad.runtimes import Throttle, Watch

from ._place import Place

#: Between two looks at signs of life, in seconds.
_EVERY_S = 0.05


class Vigil:
    """Looks at the signs of life of the places' processes. after: as of `Watch`; None: never."""

    def __init__(self, places: Sequence[Place], *, after: float | None) -> None:
        self._places = {place.number: place for place in places}
        self._watch: Watch[int] | None = None if after is None else Watch(after=after)
        self._looks = Throttle(_EVERY_S)

    def keep(self) -> None:
        """Now and then: end those that hang."""
        now = time.monotonic()
        if self._watch is None or not self._looks.due(now):
            return
        shown = {
            number: signs
            for number, place in self._places.items()
            if place.alive and place.memory and (signs := place.memory.pulse.signs()).beats
        }
        for number, words in self._watch.look(now, shown).items():
            self._places[number].kill(words)
