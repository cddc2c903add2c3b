"""An optimizer whose step hands the gradient in and takes the newest parameters over."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Rates = tuple[float, ...]


class ServerOptimizer(torch.optim.Optimizer):
    """A `torch.optim.Optimizer` for the script: the rule itself is applied by the server.

    groups: the parameters of each. rates: their learning rates at first, the "lr" of
    `param_groups`; what a scheduler makes of them is sent along as factors.
    step: hands in what `hand_in` makes of the gradients, with the loss and the factors.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Tensor]],
        rates: Sequence[float],
        hand_in: Callable[[float | None, Rates], None],
    ) -> None:
        self._hand_in = hand_in
        self._base = tuple(rates)
        self._complete = False
        together = [{"params": [*g], "lr": lr} for g, lr in zip(groups, rates, strict=True)]
        super().__init__(together, {"lr": self._base[0]})
        self._complete = True

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """All groups are there from the start; another is refused."""
        if self._complete:
            raise ValueError(
                f"Expected all groups of parameters at once, got another with "
                f"{sorted(param_group)}; give them as session.optimizer(rule, groups=[...])."
            )
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Hand in the gradients and load the newest parameters. closure: as torch's optimizers.

        Raises: ValueError for learning rates that are negative or not finite.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._hand_in(None if loss is None else float(loss), self._factors())
        return loss

    def _factors(self) -> Rates:
        found = []
        for group, base in zip(self.param_groups, self._base, strict=True):
            rate = float(group["lr"])
            if not 0 <= rate < math.inf:
                raise ValueError(
                    f"Expected a finite learning rate >= 0, got {rate}; mend the scheduler."
                )
            found.append(rate / base if base else 1.0)
        return tuple(found)
