"""Any optimizer of PyTorch as the server's rule."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout, Weight
from lagrad.schedules import Schedule
from lagrad.weights import Constant

from ._base import Rated, SendsParams, Weighted, mean

#: They need a closure, sparse gradients or matrices alone, or keep step sizes of their own.
_UNFIT = {"LBFGS", "SparseAdam", "Muon", "Rprop", "Optimizer"}
_KNOWN: dict[str, Callable[..., torch.optim.Optimizer]] = {
    name.lower(): thing
    for name, thing in vars(torch.optim).items()
    if inspect.isclass(thing) and issubclass(thing, torch.optim.Optimizer) and name not in _UNFIT
}


@dataclass
class TorchOptimizerState:
    """layout: of the parameters. kept: what the optimizer keeps of each of them."""

    layout: Layout
    kept: list[dict[str, Any]]


@dataclass(frozen=True)
class TorchOptimizer(Rated, SendsParams, Weighted):
    """A step of torch.optim with the mean gradient and a learning rate that minds staleness.

        x <- optimizer step from x along mean_i g_i with learning rate eta w(max_i tau_i)

    The weight damps the step, not the gradient, whose scale Adam and its kin take out again.
    optimizer: name of a class of torch.optim, in any case. lr: eta >= 0, a number or a schedule.
    weight: w. options: the class's other arguments, as pairs of name and value.
    The optimizer sees the parameters in their shapes. Sent: x. Memory: the optimizer's.
    Raises: ValueError for an unknown or unfit optimizer, or options that it refuses.
    Source: PyTorch; with AMSGrad, a buffer and min(1, 1/(eta tau)) for late steps this is FADAS
    (Wang et al. 2024, arXiv:2407.18365, second hand).

    >>> TorchOptimizer("adamw", lr=1e-3, options=(("weight_decay", 0.1),)).lr
    0.001
    """

    optimizer: str = "adam"
    lr: float | Schedule = 1e-3
    weight: Weight = Constant()
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        self.require_rate()
        if self.optimizer.lower() not in _KNOWN:
            raise ValueError(
                f"Expected an optimizer of torch.optim for dense gradients of any shape, got "
                f"{self.optimizer!r}; there are {', '.join(sorted(_KNOWN))}."
            )
        try:
            self._made([torch.zeros(1, 1)], self.rate(0))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Expected options that torch.optim's {self.optimizer} takes, got "
                f"{dict(self.options)} ({error}); give pairs such as (('eps', 1e-8),)."
            ) from error

    def _made(self, parameters: Sequence[Tensor], lr: float) -> torch.optim.Optimizer:
        return _KNOWN[self.optimizer.lower()](parameters, lr=lr, **dict(self.options))

    @property
    def tensorwise(self) -> bool:
        """Yes: no optimizer that is taken looks from one tensor to another."""
        return True

    def init(self, params: Tensor, layout: Layout) -> TorchOptimizerState:
        """What a new optimizer keeps: nothing."""
        del params
        return TorchOptimizerState(layout, [{} for _ in layout.names])

    def apply(
        self,
        params: Tensor,
        state: TorchOptimizerState,
        gradients: Sequence[Gradient],
        *,
        version: int,
    ) -> None:
        """One step of the optimizer."""
        values, factor = mean(gradients, Constant(), params=params)
        if factor != 1.0:
            values = values * factor
        parameters = list(state.layout.views(params.detach()).values())
        for parameter, part in zip(parameters, state.layout.views(values).values(), strict=True):
            parameter.grad = part
        latest = max(gradient.tau for gradient in gradients)
        optimizer = self._made(parameters, self.rate(version) * self.weight(latest))
        for parameter, kept in zip(parameters, state.kept, strict=True):
            if kept:
                optimizer.state[parameter] = kept
        optimizer.step()
        state.kept = [dict(optimizer.state[parameter]) for parameter in parameters]
