"""Gradients on their way from a backward pass to where they belong."""

import math
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from lagrad.core import Staging


class Landing:
    """Puts each parameter's gradient where it belongs as soon as it is there.

    staging: by which gradients come to host memory from an accelerator; None: they are there.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], staging: Staging | None) -> None:
        self._parameters, self._staging = parameters, staging
        self._parts: list[Tensor] | None = None
        self._landed: set[int] = set()
        self._surely_finite = True
        for place, parameter in enumerate(parameters):
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                partial(self._land, place)
            )

    def backward(self, loss: Tensor, parts: list[Tensor]) -> bool:
        """Differentiate `loss`, and write the gradient by the parameters to `parts`, all of them.

        A parameter that the loss does not depend on gets 0.
        Returns: True if all is finite, False if somebody has to look.
        """
        self._parts = parts
        self._landed.clear()
        self._surely_finite = True
        try:
            loss.backward()  # type: ignore[no-untyped-call]
            self._collect(parts)
        finally:
            self._parts = None
        return self._surely_finite

    def _land(self, place: int, parameter: Tensor) -> None:
        """A gradient is there: it is put where it belongs while the cache still holds it."""
        gradient = parameter.grad
        if self._parts is None or gradient is None or gradient.is_sparse:
            return
        if self._staging is not None:  # on its way while what is below is differentiated
            self._staging.bring(place, gradient)
            return
        if place in self._landed:  # another of its parts: a backward pass within the first
            self._parts[place].add_(gradient)
            self._surely_finite = False
        else:
            self._parts[place].copy_(gradient)
            self._landed.add(place)
            self._surely_finite &= math.isfinite(gradient.sum().item())
        parameter.grad = None

    def _collect(self, parts: list[Tensor]) -> None:
        """What has not landed: sparse gradients, and zeros where there is none."""
        if self._staging is not None:
            self._collect_from(self._staging, parts)
            return
        for place, (parameter, part) in enumerate(zip(self._parameters, parts, strict=True)):
            gradient = parameter.grad
            if place not in self._landed:
                part.zero_()
            if gradient is not None:
                part.add_(gradient)
                self._surely_finite = False

    def _collect_from(self, staging: Staging, parts: list[Tensor]) -> None:
        for place, parameter in enumerate(self._parameters):
            if parameter.grad is not None and parameter.grad.is_sparse:
                staging.bring(place, parameter.grad.to_dense())
        self._surely_finite = False
        for parameter, part, there in zip(self._parameters, parts, staging.finish(), strict=True):
            if parameter.grad is None:
                part.zero_()
            else:
                part.copy_(there)
