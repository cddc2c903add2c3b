"""Averaged weights: an exponential moving average of the parameters, used for evaluation."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Average:
    """a <- a + (1 - d_t) (x_t - a) with d_t = min(decay, t / (t + 9)), t = 1, 2, ...

    The ramp of d_t forgets the initial parameters quickly. decay: in [0, 1), per step.
    Source: Polyak averaging with the warm-up that is common practice in EMA implementations.
    """

    decay: float
    values: Tensor

    def update(self, params: Tensor, *, version: int) -> None:
        """Take in the parameters after step `version` (1 after the first step)."""
        self.values.lerp_(params, 1.0 - min(self.decay, version / (version + 9.0)))
