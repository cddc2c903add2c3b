"""What a fault is: what goes wrong, where, and when or how often."""

import hashlib
import math
import struct
from abc import ABC
from dataclasses import dataclass
from typing import ClassVar


class Fault(ABC):
    """Something that goes wrong on purpose: data alone, carried out by the runtimes.

    kind: its word in traces and results.
    """

    kind: ClassVar[str]


@dataclass(frozen=True)
class Moment(Fault):
    """A fault that happens once, at a time.

    worker: whom it hits. at: seconds on the run's clock, >= 0; later, if there is no such live
    worker then.
    """

    worker: int
    at: float = 0.0

    def __post_init__(self) -> None:
        require_worker(self.worker)
        self.require_time()

    def require_time(self) -> None:
        """Refuse a time that never comes."""
        if not 0 <= self.at < math.inf:
            raise ValueError(
                f"Expected at >= 0 seconds, got {self.at}; give a time on the run's clock."
            )


@dataclass(frozen=True)
class Chance(Fault):
    """A fault that hits each push with a probability.

    p: in (0, 1]. worker: whose pushes, None for everybody's.
    """

    p: float
    worker: int | None = None

    def __post_init__(self) -> None:
        if self.worker is not None:
            require_worker(self.worker)
        if not 0 < self.p <= 1:
            raise ValueError(
                f"Expected p in (0, 1], got {self.p}; leave the fault out for none of it."
            )

    def hits(self, *, worker: int, incarnation: int, sequence: int, seed: int) -> bool:
        """Whether it hits this push: a pure function, so that every runtime has the same faults.

        seed: of the run and of the fault's place in its list.

        >>> from lagrad.chaos import Drop
        >>> sum(Drop(p=0.25).hits(worker=0, incarnation=0, sequence=n, seed=1) for n in range(400))
        97
        """
        if self.worker not in (None, worker):
            return False
        name = self.kind.encode() + struct.pack(
            "<qqqQ", worker, incarnation, sequence, seed % 2**64
        )
        drawn = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
        return drawn < self.p * 2**64


def require_worker(worker: object) -> None:
    """Refuse what is no number of a worker."""
    if not isinstance(worker, int) or worker < 0:
        raise ValueError(f"Expected a worker >= 0, got {worker!r}; they are counted from 0.")


def require_positive(name: str, number: float, advice: str) -> None:
    """Refuse what is not in (0, inf)."""
    if not 0 < number < math.inf:
        raise ValueError(f"Expected {name} > 0, got {number}; {advice}.")
