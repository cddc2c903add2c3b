"""The non-negative orthant."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NonNegative:
    """The vectors without a negative coordinate.

        {x: x_i >= 0},     P(x)_i = max(x_i, 0)

    Raises: nothing.
    Source: elementary.

    >>> import torch
    >>> x = torch.tensor([-3.0, 0.5])
    >>> NonNegative().project(x)
    >>> x
    tensor([0.0000, 0.5000])
    """

    @property
    def elementwise(self) -> bool:
        """Yes: a slice of the projection is the projection of the slice."""
        return True

    def project(self, x: Tensor) -> None:
        """Raise the negative coordinates of `x` to 0."""
        x.clamp_(min=0.0)
