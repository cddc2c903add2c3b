"""The gradient that has the closest company."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._aggregation import require_count


@dataclass(frozen=True)
class Krum:
    """The gradient with the smallest sum of squared distances to its n - f - 2 nearest others.

        s_i = sum over the n - f - 2 nearest j of ||g_i - g_j||^2,      x = g_argmin s

    byzantine: f >= 0. chosen: m >= 1; more than one: the mean of the m of smallest s (multi-Krum),
    where n - f - 2 >= m is needed and else as many are taken. Ties: the earlier lease.
    Bears f arbitrary gradients where n >= 2 f + 3: the chosen one is then within
    sqrt(n - f - 2) D of one of the others, D the largest distance between those. Of fewer
    gradients, f is as large as n allows.
    Source: Blanchard, El Mhamdi, Guerraoui, Stainer 2017, arXiv:1703.02757, section 3;
    deviations: none.

    >>> import torch
    >>> Krum(1)(torch.tensor([[1.0], [1.25], [1.5], [2.0], [9e9]]))
    tensor([1.2500])
    """

    byzantine: int = 1
    chosen: int = 1

    def __post_init__(self) -> None:
        require_count("byzantine", self.byzantine, 0)
        require_count("chosen", self.chosen, 1)

    @property
    def fewest(self) -> int:
        """The larger of 2 f + 3 and f + 2 + m."""
        return max(2 * self.byzantine + 3, self.byzantine + 2 + self.chosen)

    @property
    def elementwise(self) -> bool:
        """No: distances are of whole vectors."""
        return False

    def __call__(self, values: Tensor, /) -> Tensor:
        """See `Aggregation`."""
        count = len(values)
        byzantine = max(0, min(self.byzantine, (count - 3) // 2))
        nearest = max(1, count - byzantine - 2)
        wide = values.double()
        distances = torch.cdist(wide, wide, compute_mode="donot_use_mm_for_euclid_dist")
        # Each is nearest to itself, at 0.
        scores = distances.square().sort(dim=1).values[:, : nearest + 1].sum(dim=1)
        best = torch.argsort(scores, stable=True)[: min(self.chosen, nearest)]
        return values[best.sort().values].mean(dim=0)
