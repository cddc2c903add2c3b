"""The median of each coordinate."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class CoordinateMedian:
    """Each coordinate is the median of the gradients' (the mean of the middle two of an even n).

        x_k = median_i g_ik

    Bears fewer than n/2 arbitrary gradients: each coordinate stays among those of the others.
    Source: Yin, Chen, Ramchandran, Bartlett 2018, arXiv:1803.01498, definition 1; deviations: none.

    >>> import torch
    >>> CoordinateMedian()(torch.tensor([[1.0, 5.0], [2.0, -9e9], [9e9, 6.0]]))
    tensor([2., 5.])
    """

    @property
    def fewest(self) -> int:
        """3: of two, one may be anything."""
        return 3

    @property
    def elementwise(self) -> bool:
        """Yes."""
        return True

    def __call__(self, values: Tensor, /) -> Tensor:
        """See `Aggregation`."""
        ordered, count = values.sort(dim=0).values, len(values)
        low, high = ordered[(count - 1) // 2], ordered[count // 2]
        return low + (high - low) / 2  # the sum of two large ones may overflow
