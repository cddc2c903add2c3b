"""How much momentum a run shows, by whatever it comes about."""

from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

#: Coordinates that moved less than this share of the longest say nothing.
_STILL = 1e-3


@dataclass
class TotalMomentum:
    """Measures mu in x_{s+1} - x_s = mu (x_s - x_{s-1}) - eta g(x_s), as the median coordinate.

        mu = median_j (x_{s+1} - x_s + eta g)_j / (x_s - x_{s-1})_j

    g: a gradient computed at x_s, which may arrive many steps later. Memory: as many vectors as
    steps are remembered. horizon: steps remembered, >= 3; of gradients later than that nothing is
    measured.
    Source: the measurement of closed-loop YellowFin, Zhang, Mitliagkas 2017, arXiv:1706.03471;
    from memory.

    >>> total = TotalMomentum(horizon=4)
    >>> for x in (1.0, 0.75):
    ...     total.remember(torch.tensor([x]), 0.5)
    >>> total.measured(torch.tensor([0.75]), at=1, now=torch.tensor([0.25]))
    0.5
    """

    horizon: int
    first: int = 0
    points: deque[Tensor] = field(default_factory=deque)
    rates: deque[float] = field(default_factory=deque)

    def remember(self, params: Tensor, lr: float) -> None:
        """The parameters that the next step leaves, and its learning rate."""
        self.points.append(params.clone())
        self.rates.append(lr)
        if len(self.points) > self.horizon:
            self.points.popleft()
            self.rates.popleft()
            self.first += 1

    def measured(self, gradient: Tensor, *, at: int, now: Tensor) -> float | None:
        """The total momentum of the step from version `at`; None where it cannot be told.

        gradient: computed at version `at`, [P]. now: the parameters after the latest step, [P].
        """
        s = at - self.first
        if s < 1:
            return None
        before, here = self.points[s - 1], self.points[s]
        after = self.points[s + 1] if s + 1 < len(self.points) else now
        moved = here - before
        clear = moved.abs() > _STILL * moved.abs().max()
        if not bool(clear.any()):
            return None
        gone = (after - here).add_(gradient, alpha=self.rates[s])
        return float(torch.median(gone[clear] / moved[clear]))
