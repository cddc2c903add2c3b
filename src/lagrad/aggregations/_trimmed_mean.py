"""The mean of each coordinate without its extremes."""

from dataclasses import dataclass

from torch import Tensor

from ._aggregation import require_count


@dataclass(frozen=True)
class TrimmedMean:
    """Each coordinate is the mean without the `trim` largest and the `trim` smallest of it.

        x_k = 1/(n - 2 b) sum of the middle n - 2 b of the g_ik

    trim: b >= 0, less than n/2; of fewer gradients, as many are trimmed as leave one.
    Bears b arbitrary gradients: each coordinate stays among those of the others.
    Source: Yin, Chen, Ramchandran, Bartlett 2018, arXiv:1803.01498, definition 2; deviation: a
    number in place of a fraction.

    >>> import torch
    >>> TrimmedMean(1)(torch.tensor([[1.0], [2.0], [3.0], [9e9]]))
    tensor([2.5000])
    """

    trim: int = 1

    def __post_init__(self) -> None:
        require_count("trim", self.trim, 0)

    @property
    def fewest(self) -> int:
        """2 b + 1."""
        return 2 * self.trim + 1

    @property
    def elementwise(self) -> bool:
        """Yes."""
        return True

    def __call__(self, values: Tensor, /) -> Tensor:
        """See `Aggregation`."""
        trim = min(self.trim, (len(values) - 1) // 2)
        first, *others = values.sort(dim=0).values[trim : len(values) - trim]
        total: Tensor = first.clone()
        for row in others:  # one by one: a slice of the vector then has the bits of the whole
            total.add_(row)
        return total.div_(len(others) + 1)
