"""Stochastic gradient descent."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lagrad.core import Gradient, Layout, Linear, Weight
from lagrad.schedules import Schedule
from lagrad.weights import Constant

from ._base import Elementwise, Rated, SendsParams, Weighted, mean, require_decay


@dataclass(frozen=True)
class SGD(Rated, SendsParams, Weighted, Elementwise):
    """Step along the mean gradient; late ones may count less.

        x <- x - eta (mean_i w(tau_i) g_i + lambda x)

    lr: eta >= 0, a number or a schedule on the version. weight: w, a function of staleness;
    with `Inverse(scale=N)` this is the delay-adaptive step. weight_decay: lambda >= 0.
    Sent to workers: x. Memory: no vector beyond x.
    Source: torch.optim.SGD without momentum, bit for bit where nothing is late.

    >>> from lagrad.weights import Inverse
    >>> SGD(lr=0.1, weight=Inverse()).weight_of(3, version=9, state=None)
    0.25
    """

    lr: float | Schedule = 0.1
    weight: Weight = Constant()
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self.require_rate()
        require_decay(self.weight_decay)

    def init(self, params: Tensor, layout: Layout) -> None:
        """No state."""

    def linear(self, state: None, gradients: Sequence[Gradient], *, version: int) -> Linear | None:
        """The step without weight decay."""
        del state
        if self.weight_decay:
            return None
        values, factor = mean(gradients, self.weight)
        return Linear(None, 0.0, values, factor, self.rate(version))

    def apply(
        self, params: Tensor, state: None, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """One step along the weighted mean."""
        del state
        values, factor = mean(gradients, self.weight, params=params, weight_decay=self.weight_decay)
        params.add_(values, alpha=-self.rate(version) * factor)
