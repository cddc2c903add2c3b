"""How much of a run may be lost, and how it is kept."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Durability(StrEnum):
    """What a run loses when its server dies.

    NONE: everything but the weights. INTERVAL: what came after the last checkpoint.
    EVERY_STEP: nothing that was acknowledged; each gradient is written down before its verdict.
    """

    NONE = "none"
    INTERVAL = "interval"
    EVERY_STEP = "every-step"


@dataclass(frozen=True)
class Keeping:
    """Checkpoints of a run.

    durability: see there; its word does, too. every: seconds by the wall between checkpoints, >= 0;
    0: whenever the last has been written. keep: how many of the last are kept, >= 1.
    Raises: ValueError for numbers out of range, or an unknown durability.

    >>> Keeping(Durability("every-step")).durability
    <Durability.EVERY_STEP: 'every-step'>
    """

    durability: Durability = Durability.INTERVAL
    every: float = 30.0
    keep: int = 3

    def __post_init__(self) -> None:
        if self.durability not in list(Durability):
            raise ValueError(
                f"Expected durability {', '.join(Durability)}, got {self.durability!r}; "
                "take one of them."
            )
        object.__setattr__(self, "durability", Durability(self.durability))
        if not 0 <= self.every < math.inf:
            raise ValueError(
                f"Expected checkpoints every >= 0 seconds, got {self.every}; try 30, or "
                "durability none for no checkpoints."
            )
        if self.keep < 1:
            raise ValueError(f"Expected to keep at least 1 checkpoint, got {self.keep}; try 3.")
