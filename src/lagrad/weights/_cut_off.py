"""All or nothing."""

from dataclasses import dataclass

from ._age import require_age


@dataclass(frozen=True)
class CutOff:
    """Full weight up to an age, and none beyond it.

        w(k) = 1 if k <= last, else 0

    k: int >= 0, versions. last: int >= 0, versions, the last age that counts (0: fresh only).
    Returns: 1.0 or 0.0, w(0) = 1.
    Raises: ValueError for last < 0, or k < 0.
    Source: as a weight of staleness, last = 0 is SGD with backup workers (Chen, Pan, Monga,
    Bengio, Jozefowicz 2016, arXiv:1604.00981), late gradients dropped.

    >>> [CutOff(last=2)(k) for k in (0, 2, 3)]
    [1.0, 1.0, 0.0]
    """

    last: int = 0

    def __post_init__(self) -> None:
        if not self.last >= 0:
            raise ValueError(
                f"Expected last >= 0 versions, got {self.last}; use 0 for fresh gradients only."
            )

    def __call__(self, k: int) -> float:
        """The weight at k."""
        require_age(k)
        return 1.0 if k <= self.last else 0.0
