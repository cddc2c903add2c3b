"""A message that is lost."""

from dataclasses import dataclass
from typing import ClassVar

from ._fault import Chance


@dataclass(frozen=True)
class Drop(Chance):
    """A push never arrives; its worker does not know, and asks for new work.

    p, worker: see `Chance`. The samples of the gradient return to the pool.

    >>> Drop(p=0.01)
    Drop(p=0.01, worker=None)
    """

    kind: ClassVar[str] = "drop"
