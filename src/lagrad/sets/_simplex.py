"""The probability simplex and its multiples."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Simplex:
    """The vectors without a negative coordinate whose coordinates add up to a total.

        {x: x_i >= 0, sum_i x_i = total},     P(x)_i = max(x_i - theta, 0)

    with the one theta for which P(x) has that total: for u = x sorted in falling order and the
    largest r with r u_r > sum_{i<=r} u_i - total, theta = (sum_{i<=r} u_i - total) / r.
    total: float > 0, in the units of x. Costs a sort and some float64 vectors.
    Raises: ValueError for a total that is not positive and finite.
    Source: Duchi, Shalev-Shwartz, Singer, Chandra 2008, "Efficient projections onto the l1-ball
    for learning in high dimensions", figure 1.

    >>> x = torch.tensor([1.0, 0.5, -1.0])
    >>> Simplex().project(x)
    >>> x
    tensor([0.7500, 0.2500, 0.0000])
    """

    total: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.total < math.inf:
            raise ValueError(
                f"Expected a finite total > 0, got {self.total}; probabilities add up to 1."
            )

    def project(self, x: Tensor) -> None:
        """Subtract theta from `x` and raise what is then negative to 0."""
        # Adding a number to all coordinates leaves P(x) as it is. With a largest one of 0 the
        # total is not lost beside large coordinates.
        x.sub_(x.max())
        falling = x.double().sort(descending=True).values
        excess = falling.cumsum(0) - self.total
        count = torch.arange(1, len(x) + 1, dtype=torch.float64, device=x.device)
        kept = int((falling * count > excess).sum())
        x.sub_(excess[kept - 1].item() / kept).clamp_(min=0.0)
