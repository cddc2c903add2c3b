"""A message that comes twice."""

from dataclasses import dataclass
from typing import ClassVar

from ._fault import Chance


@dataclass(frozen=True)
class Duplicate(Chance):
    """A push arrives twice, the second time after its worker has asked for new work.

    p, worker: see `Chance`.

    >>> Duplicate(p=0.01, worker=2)
    Duplicate(p=0.01, worker=2)
    """

    kind: ClassVar[str] = "duplicate"
