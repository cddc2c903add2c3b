"""A box."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Box:
    """The vectors whose coordinates all lie between two numbers.

        {x: low <= x_i <= high},     P(x)_i = min(max(x_i, low), high)

    low, high: float, in the units of x, low <= high; -inf or inf leaves a side open.
    Raises: ValueError unless low <= high, or where no finite number lies between them.
    Source: elementary.

    >>> import torch
    >>> x = torch.tensor([-3.0, 0.5, 2.0])
    >>> Box(low=-1.0, high=1.0).project(x)
    >>> x
    tensor([-1.0000,  0.5000,  1.0000])
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        # The second and third condition: not inf <= x, not x <= -inf.
        if not self.low <= self.high or self.low == float("inf") or self.high == float("-inf"):
            raise ValueError(
                f"Expected low <= high, got low {self.low} and high {self.high}; "
                "swap them, or use -inf or inf for a side that is open."
            )

    @property
    def elementwise(self) -> bool:
        """Yes: a slice of the projection is the projection of the slice."""
        return True

    def project(self, x: Tensor) -> None:
        """Clamp every coordinate of `x`."""
        x.clamp_(self.low, self.high)
