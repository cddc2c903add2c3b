"""An optimizer whose step hands the gradient in and takes the newest parameters over."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class ServerOptimizer(torch.optim.Optimizer):
    """A `torch.optim.Optimizer` for the script: the rule itself is applied by the server.

    step: hands in what `hand_in` makes of the gradients. param_groups: one, whose "lr" begins as
    the rule's; what a scheduler makes of it is sent along as a factor.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, hand_in: Callable[[float | None, float], None]
    ) -> None:
        self._hand_in = hand_in
        self._base = lr
        super().__init__(params, {"lr": lr})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """One group is there from the start; another is refused."""
        if self.param_groups:
            raise ValueError(
                f"Expected one group of parameters, got another with {sorted(param_group)}; "
                "the server's rule has one learning rate for all."
            )
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Hand in the gradients and load the newest parameters. closure: as torch's optimizers."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        rate = self.param_groups[0]["lr"] / self._base if self._base else 1.0
        self._hand_in(None if loss is None else float(loss), float(rate))
        return loss
