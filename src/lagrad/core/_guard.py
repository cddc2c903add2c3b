"""What the server refuses of gradients, whom or what it sends no more, and when it goes back."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ._ledger import Ledger, Member
from ._messages import Push
from ._running_median import RunningMedian

#: Norms that must have come before one is called too long.
_FEWEST = 10


@dataclass(frozen=True)
class Guard:
    """Gradients that are not finite are rejected, always; this is what else is done.

    longest: gradients longer than `longest` times the running median of the norms, as they came,
    are rejected; > 1, or None for none. To shorten them instead: `rules.Clipped`.
    strikes: a worker with so many gradients rejected by the guard, and none taken between, is
    quarantined: it is sent no work, and no quorum counts it; int >= 1, or None for never.
    sentence: versions until it is sent work again; one more bad gradient then, and it is
    quarantined anew. Nobody is quarantined alone: where no other worker is free, all are.
    spike: when the median of the last 8 losses exceeds that of the last 128 by so many of their
    median absolute deviations, the parameters, the rule's state and the buffers go back to a
    snapshot taken before; > 0, or None for never. Memory: two copies of them.
    attempts: a lease over which so many workers have failed (their code raised, or something killed
    them) is set aside: nobody is sent its samples in this epoch; int >= 1, or None for never.
    snapshot_every: versions between snapshots; the older of the last two is the one gone back to.
    Versions count on, and gradients computed before the parameters went back are dropped.
    Raises: ValueError for numbers out of range.

    >>> Guard(longest=10.0)
    Guard(longest=10.0, strikes=5, sentence=100, spike=None, snapshot_every=50, attempts=3)
    """

    longest: float | None = None
    strikes: int | None = 5
    sentence: int = 100
    spike: float | None = None
    snapshot_every: int = 50
    attempts: int | None = 3

    def __post_init__(self) -> None:
        if self.longest is not None and not 1 < self.longest < math.inf:
            raise ValueError(
                f"Expected longest > 1 or None, got {self.longest}; 10 rejects what is "
                "ten times as long as usual."
            )
        if self.spike is not None and not 0 < self.spike < math.inf:
            raise ValueError(f"Expected spike > 0 or None, got {self.spike}; try 20.")
        for name in ("strikes", "sentence", "snapshot_every", "attempts"):
            number = getattr(self, name)
            if number is not None and not (isinstance(number, int) and number >= 1):
                raise ValueError(f"Expected {name} >= 1, got {number}; give a whole number.")

    def convicts(self, member: Member, ledger: Ledger) -> bool:
        """Whether the member is to be quarantined now."""
        if self.strikes is None or member.strikes < self.strikes:
            return False
        return any(other is not member for other in ledger.free())


@dataclass
class Norms:
    """How long gradients usually are, and whether one is too long."""

    longest: float | None
    usual: RunningMedian = field(default_factory=RunningMedian)

    def too_long(self, push: Push) -> str:
        """What is wrong with the length of a finite gradient, which is taken in; empty if nothing.

        The estimate is of all that came, so that a run whose gradients grow for good goes on.
        """
        if self.longest is None:
            return ""
        norm = length(push.values) if push.length is None else push.length
        usual = self.usual.value()
        known = len(self.usual) >= _FEWEST
        self.usual.add(norm)
        if known and 0 < usual * self.longest < norm:
            return f"the gradient's norm {norm:.3g} is beyond {self.longest:g} times {usual:.3g}"
        return ""


def length(values: Tensor) -> float:
    """Euclidean norm, also where the squares leave the range of the values' own type."""
    norm = float(torch.linalg.vector_norm(values))
    if 1e-15 < norm < math.inf:
        return norm
    return float(torch.linalg.vector_norm(values, dtype=torch.float64))
