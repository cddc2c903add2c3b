"""A gradient that is no gradient."""

from dataclasses import dataclass
from typing import ClassVar

from ._fault import Chance


@dataclass(frozen=True)
class Nan(Chance):
    """A gradient arrives as NaN throughout; its loss is as computed.

    p, worker: see `Chance`.

    >>> Nan(p=0.001, worker=1)
    Nan(p=0.001, worker=1)
    """

    kind: ClassVar[str] = "nan"
