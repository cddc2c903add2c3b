"""Which faults are due: the faults of a run, asked by whoever carries them out."""

from collections import Counter
from collections.abc import Collection, Sequence

from ._fault import Chance, Fault, Moment
from ._slow import Slow


class Plan:
    """The faults of one run, which have happened, and which are due.

    faults: in the order asked for; a fault's number is its place. seed: of the run.
    struck: how often each has happened. A pure schedule: equal questions get equal answers.

    >>> from lagrad.chaos import Drop, Kill
    >>> plan = Plan([Kill(0, at=3.0), Drop(p=1.0)], seed=0)
    >>> plan.next_time({0, 1}), plan.due(2.0, live={0, 1}), plan.due(3.0, live={0, 1})
    (3.0, [], [(0, Kill(worker=0, at=3.0))])
    >>> plan.hit("drop", worker=1, incarnation=0, sequence=0)
    1
    """

    #: What a checkpoint keeps.
    CHANGES = ("struck", "_to_come")

    def __init__(self, faults: Sequence[Fault], *, seed: int) -> None:
        self.faults = tuple(faults)
        self.struck: Counter[int] = Counter()
        self._seed = seed
        self._to_come = [(n, f) for n, f in enumerate(self.faults) if isinstance(f, Moment)]

    def next_time(self, live: Collection[object]) -> float | None:
        """When the next fault that has a time is due to one of the live, or None."""
        return min((fault.at for _, fault in self._to_come if fault.worker in live), default=None)

    def due(self, now: float, *, live: Collection[object]) -> list[tuple[int, Moment]]:
        """The numbers and faults that are to happen now; each is given once.

        live: the workers that there are, and "server"; the faults of others stay due.
        """
        found = [each for each in self._to_come if each[1].at <= now and each[1].worker in live]
        self._to_come = [each for each in self._to_come if each not in found]
        return found

    def note(self, number: int) -> None:
        """The fault has happened; one that has a time happens once."""
        self.struck[number] += 1
        self._to_come = [each for each in self._to_come if each[0] != number]

    def hit(self, kind: str, *, worker: int, incarnation: int, sequence: int) -> int | None:
        """The number of the fault of this kind that hits a push, or None."""
        for number, fault in enumerate(self.faults):
            # Two faults of one kind draw by themselves; the same for every runtime.
            if (
                fault.kind == kind
                and isinstance(fault, Chance)
                and fault.hits(
                    worker=worker,
                    incarnation=incarnation,
                    sequence=sequence,
                    seed=self._seed * 1_000_003 + number,
                )
            ):
                return number
        return None

    def slow(self, worker: int) -> list[int]:
        """Numbers of the faults that make a worker slow and have not been noted yet."""
        return [
            number
            for number, fault in enumerate(self.faults)
            if isinstance(fault, Slow) and fault.worker == worker and not self.struck[number]
        ]
