"""The processes of a script: who is started, again or not, who hangs, and how they have ended."""

import time
from collections.abc import Callable, Sequence

from lagrad.runtimes import Backoff

from ._door import Door
from ._place import Ending, Place
from ._terms import Launch
from ._vigil import Vigil


class Processes:
    """Fills the places of a run, as its terms allow.

    echo: gets each line that a process prints, with its number. backoffs: of the places, by number.
    ended_well: how many scripts have run to their end. given_up: whose script failed by itself and
    is not started again. closing, below: whether nobody is to be started any more.
    """

    def __init__(
        self, terms: Launch, places: Sequence[Place], door: Door, echo: Callable[[int, str], None]
    ) -> None:
        self.backoffs = [Backoff(terms.restarts) for _ in places]
        self.ended_well = 0
        self.given_up: set[int] = set()
        self._terms, self._places, self._door, self._echo = terms, places, door, echo
        self._preempted: set[int] = set()
        # Those of other hosts never beat here: their relays look after them.
        self._vigil = Vigil(places, after=terms.hung_after)

    def start(self, place: Place) -> None:
        """The place is taken by another process."""
        self.backoffs[place.number].began(time.monotonic())
        self._preempted.discard(place.number)
        place.spawn(
            [str(self._terms.script), *self._terms.arguments],
            self._door.environment(place.number, place.incarnation + 1),
            self._echo,
            self._terms.folder,
        )

    def anybody(self, *, closing: bool) -> bool:
        """Whether there is a process, or one to come."""
        return any(place.alive or self._awaited(place, closing) for place in self._places)

    def alone(self, *, closing: bool) -> bool:
        """Whether there is no process, but one to come, and none has run to its end before."""
        somebody = self.ended_well or any(place.alive for place in self._places)
        return not somebody and self.anybody(closing=closing)

    def _awaited(self, place: Place, closing: bool) -> bool:
        # At the end nobody waits for one that was preempted.
        left = place.number in self._preempted and self.ended_well > 0
        return self.backoffs[place.number].due is not None and not (closing or left)

    def ended(self, place: Place, ending: Ending, *, closing: bool) -> bool:
        """A process has; whether that is a failure."""
        number, backoff = place.number, self.backoffs[place.number]
        if ending.code == 0:
            self.ended_well += 1
            return False
        if ending.asked and not closing:
            self._preempted.add(number)
            backoff.left(time.monotonic())
            return False
        if ending.lost and not closing:
            self.start(place)  # as soon as a node has room
            return True
        backoff.failed(time.monotonic())
        if ending.code > 0 and not self._awaited(place, closing):
            self.given_up.add(number)
        return True

    def look_after(self, *, closing: bool) -> None:
        """End those that hang, and start those whose time has come."""
        self._vigil.keep()
        now = time.monotonic()
        for place in self._places:
            due = self.backoffs[place.number].due
            if due is not None and now >= due and self._awaited(place, closing):
                self.start(place)
