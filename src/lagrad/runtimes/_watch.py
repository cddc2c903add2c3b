"""Which workers hang: pure, on the caller's clock, from what each shows of itself."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

Who = TypeVar("Who", bound=Hashable)

#: A job that computes so many times as long as any before it is taken to hang.
_FAR_LONGER = 20.0
#: Longest step of the clock that counts: where the watch itself stood still, so did the watched.
_STEP_S = 1.0


class Signs(NamedTuple):
    """What a process shows of itself.

    beats: grows as long as its processor time is not taken away for good. begun, computed: jobs
    whose gradient it has begun, and has finished; sleeping on purpose is no computing.
    """

    beats: int
    begun: int = 0
    computed: int = 0


@dataclass(slots=True)
class _Seen:
    signs: Signs
    silent: float = 0.0
    computing: float = 0.0


class Watch(Generic[Who]):
    """Tells who shows no sign of life, and whose job computes far longer than any before.

    after: seconds without a beat after which a process hangs; and the least that a job has to
    compute to be called far too long, which it is at 20 times the longest of all workers before.
    Until one job is done, none is too long: the first may load data or compile.
    Only time in which the watch was looking counts, so that a machine that slept, or a server that
    was stopped or starved itself, accuses nobody.

    >>> watch = Watch(after=3.0)
    >>> [watch.look(float(now), {0: Signs(beats=7), 1: Signs(beats=now)}) for now in range(4)]
    [{}, {}, {}, {0: 'no sign of life for 3 s'}]
    """

    def __init__(self, *, after: float) -> None:
        self._after = after
        self._seen: dict[Who, _Seen] = {}
        self._longest = 0.0
        self._looked_at = math.inf

    def look(self, now: float, shown: Mapping[Who, Signs]) -> dict[Who, str]:
        """Who hangs, and why, in words.

        shown: of all workers that are to be watched; who was not in the last look, or is in none,
        begins anew. now: seconds.
        """
        step = min(max(0.0, now - self._looked_at), _STEP_S)
        self._looked_at = now
        before, self._seen = self._seen, {}
        for worker, signs in shown.items():
            self._seen[worker] = self._follow(before.get(worker), signs, step)
        found = {}
        for worker, seen in self._seen.items():
            if words := self._accuse(seen):
                found[worker] = words
        return found

    def _follow(self, seen: _Seen | None, signs: Signs, step: float) -> _Seen:
        if seen is None:
            seen = _Seen(Signs(0))
        last, seen.signs = seen.signs, signs
        seen.silent = 0.0 if signs.beats != last.beats else seen.silent + step
        under_way = last.begun > last.computed
        if under_way:
            seen.computing += step
        if signs.computed > last.computed:
            # Jobs that began and ended between two looks were no longer than that.
            self._longest = max(self._longest, seen.computing, step)
        if signs.begun != last.begun or not signs.begun > signs.computed:
            seen.computing = 0.0
        return seen

    def _accuse(self, seen: _Seen) -> str:
        if seen.silent >= self._after:
            return f"no sign of life for {seen.silent:.3g} s"
        limit = max(self._after, _FAR_LONGER * self._longest) if self._longest else math.inf
        if seen.computing >= limit:
            return (
                f"computes for {seen.computing:.3g} s, and no job before took over "
                f"{self._longest:.3g} s"
            )
        return ""
