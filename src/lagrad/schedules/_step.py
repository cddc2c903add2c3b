"""A rate that drops at listed versions."""

import itertools
from bisect import bisect_right
from dataclasses import dataclass

from ._rate import require_rate


@dataclass(frozen=True)
class Step:
    """A learning rate that is multiplied by a factor at each listed version.

        eta(v) = lr factor^(how many of `at` are <= v)

    lr: float >= 0, finite. at: rising versions >= 0; at[i] is the first with the new rate.
    factor: float in [0, 1].
    Raises: ValueError for an lr or factor out of range, or versions that do not rise.
    Source: the usual staircase; as `MultiStepLR` of torch.optim, which counts epochs or calls.

    >>> schedule = Step(lr=1.0, at=(100, 200), factor=0.5)
    >>> [schedule(version) for version in (99, 100, 200)]
    [1.0, 0.5, 0.25]
    """

    lr: float
    at: tuple[int, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        require_rate("lr", self.lr)
        if not 0 <= self.factor <= 1:
            raise ValueError(
                f"Expected a factor in [0, 1], got {self.factor}; use Warmup for a rate that rises."
            )
        if not isinstance(self.at, tuple | list):
            raise ValueError(
                f"Expected `at` as versions like (100, 200), got {self.at!r}; write (100,) for one."
            )
        object.__setattr__(self, "at", tuple(self.at))  # a list, say from JSON
        if any(not low < high for low, high in itertools.pairwise((-1, *self.at))):
            raise ValueError(
                f"Expected versions >= 0 that rise in `at`, got {self.at}; "
                "sort them and list each once."
            )

    def __call__(self, version: int) -> float:
        """The rate at `version`."""
        return float(self.lr * self.factor ** bisect_right(self.at, version))
