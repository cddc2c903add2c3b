"""The samples of a record: each cut once, computed by one worker at a time, settled once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from ._records import Sent


class Fate(StrEnum):
    """Where a lease is."""

    OUT = "computed by a worker"
    WAITING = "in the step's buffer"
    RETURNED = "returned to the pool"
    REFUSED = "refused with its gradient"
    ASIDE = "set aside"
    SETTLED = "settled"


_DONE = (Fate.SETTLED, Fate.REFUSED, Fate.ASIDE)


@dataclass
class LeaseAudit:
    """Follows every lease. broken: called with what does not fit.

    settled_samples: of all epochs together. epoch_size: known once an epoch is over.
    """

    broken: Callable[[str], None]
    fates: dict[int, Fate] = field(default_factory=dict)
    settled_samples: int = 0
    epoch_size: int | None = None
    _samples: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    _epoch: int = 0
    _position: int = 0
    _returned: int = 0

    def sent(self, record: Sent) -> None:
        """A lease goes to a worker: new samples, or returned ones."""
        number, samples = record.lease, (record.epoch, record.start, record.stop)
        if number not in self.fates:
            self._cut(number, *samples)
            self._samples[number] = samples
        elif self.fates[number] not in (Fate.RETURNED, Fate.REFUSED):
            self.broken(f"lease {number} is sent, but it is {self.fates[number].value}")
        elif self._samples.get(number) != samples:
            self.broken(f"lease {number} names other samples than before")
        self.move(number, Fate.OUT)

    def _cut(self, number: int, epoch: int, start: int, stop: int) -> None:
        if self._returned:
            self.broken(f"lease {number} is new though returned samples wait")
        if number != len(self.fates):
            self.broken(f"lease {number} is new, {len(self.fates)} was to come")
        if (epoch, start) == (self._epoch + 1, 0):
            if self.epoch_size not in (None, self._position):
                self.broken(f"epoch {self._epoch} has {self._position} samples")
            self.epoch_size, self._epoch = self._position, epoch
        elif (epoch, start) != (self._epoch, self._position):
            self.broken(f"lease {number} does not follow on the samples before it")
        if stop <= start:
            self.broken(f"lease {number} names no samples")
        self._position = stop

    def aside(self) -> list[int]:
        """The leases that were set aside."""
        return sorted(number for number, fate in self.fates.items() if fate is Fate.ASIDE)

    def move(self, number: int, to: Fate) -> None:
        """The lease is somewhere else from now on."""
        before = self.fates.get(number)
        self._returned += (to is Fate.RETURNED) - (before is Fate.RETURNED)
        self.fates[number] = to
        # A gradient of the wrong shape is refused, and its worker keeps the lease.
        done = (to in _DONE) - (before in _DONE)
        _, start, stop = self._samples.get(number, (0, 0, 0))
        self.settled_samples += done * (stop - start)
