"""Parameters mixed with what a worker has made of an older copy of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lagrad.core import Gradient, Layout, Weight
from lagrad.schedules import Schedule
from lagrad.weights import Polynomial

from ._base import Elementwise, Rated, SendsParams, Weighted


@dataclass(frozen=True)
class FedAsync(Rated, SendsParams, Weighted, Elementwise):
    """Mix the server's parameters with the worker's; the later it is, the less.

        x <- x + alpha sum_i s_i w(tau_i) (x_i - g_i - x)

    x_i: what the worker was sent. g_i: how far it has gone from there by its own steps (a
    pseudo-gradient), so that x_i - g_i is the worker's model. s_i: its share in the step's samples.
    lr: alpha >= 0, the mixing weight, a number or a schedule; the paper recommends 0.6 or 0.9.
    weight: w; the paper has constant, `Polynomial(0.5)` and `Hinge(10, 4)`.
    Sent: x. Memory: the snapshot of each worker.
    Source: Xie, Koyejo, Gupta 2019, arXiv:1903.03934; values second hand. The proximal term of the
    workers is a matter of their loss.

    >>> FedAsync(lr=0.6).weight_of(3, version=9, state=None)
    0.5
    """

    lr: float | Schedule = 0.6
    weight: Weight = Polynomial(0.5)

    def __post_init__(self) -> None:
        self.require_rate()

    @property
    def needs_snapshots(self) -> bool:
        """Yes: where each worker began."""
        return True

    def init(self, params: Tensor, layout: Layout) -> None:
        """No state."""

    def apply(
        self, params: Tensor, state: None, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """Mix in the workers' models, all with the parameters before the step."""
        del state
        samples = sum(gradient.samples for gradient in gradients)
        before = params.clone()
        for gradient in gradients:
            assert gradient.snapshot is not None
            share = self.rate(version) * self.weight(gradient.tau) * gradient.samples / samples
            away = before.sub(gradient.snapshot).add_(gradient.values)
            params.sub_(away, alpha=share)
