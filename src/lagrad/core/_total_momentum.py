"""How much momentum a run shows, by whatever it comes about."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ._interfaces import Gradient

#: Coordinates looked at, and into how many parts of equal size they are put.
_COORDINATES, _GROUPS = 512, 16
#: What is measured is forgotten by this factor a step.
_DECAY = 0.99
#: A group whose last step and gradient point the same way to within this says nothing.
_ALIKE = 1e-9


class TotalMomentum:
    """Measures how late gradients act on the parameters, as the heavy ball that is as late.

        x_{t+1} - x_t = mu (x_t - x_{t-1}) - c g_t          (explicit: mu, least squares)
        1 / (1 - total) = 1 / (1 - mu) + mean of tau

    g_t: the weighted mean of what step t applied, whatever versions it was computed at. Of heavy
    ball mu is beta, whatever the noise and the staleness, and mu / (1 - mu) steps the mean age of
    the gradients in it; staleness adds tau. A heavy ball on time of momentum `total` has the same
    mean age; asynchronous SGD with N workers has 1 - 1/N. The least squares are taken on 512
    coordinates at most, always the same, in 16 groups; mu is the groups' median. Both means forget
    by 0.99 a step.
    params: [P], before the first step.
    Memory: three vectors of 512. Where a rule is no heavy ball in its gradients (a momentum per
    worker, Nesterov, adaptive steps), mu is that of the heavy ball that fits its steps best.
    Source: the theorem of Mitliagkas, Zhang, Hadjis, Re 2016, arXiv:1605.09774, for exponential
    workers; the definition by mean age, and the measurement, are ours. Deviation from closed-loop
    YellowFin, whose median of (x_{s+1} - x_s + eta g(x_s)) / (x_s - x_{s-1}) does not see
    asynchrony where gradients change little in a step.

    >>> x, v = torch.tensor([1.0, 1.0]), torch.zeros(2)
    >>> total = TotalMomentum(x)
    >>> for _ in range(9):
    ...     g = torch.tensor([0.5, 1.0]) * x
    ...     v = 0.5 * v + g
    ...     x = x - 0.5 * v
    ...     total.step(x, [Gradient(worker=0, tau=2, samples=1, values=g)], [1.0])
    >>> round(total.explicit, 3), total.staleness, round(total.total, 3)
    (0.5, 2.0, 0.75)
    """

    def __init__(self, params: Tensor) -> None:
        size = params.numel()
        generator = torch.Generator().manual_seed(0)
        if size <= _COORDINATES:
            chosen = torch.randperm(size, generator=generator)
        else:
            chosen = torch.randint(size, (_COORDINATES,), generator=generator)
        # Two coordinates a group, at least, or there is nothing to tell step and gradient by.
        groups = max(1, min(_GROUPS, len(chosen) // 2))
        self._chosen = chosen[: len(chosen) // groups * groups].to(params.device)
        self._at = self._take(params)
        self._before: Tensor | None = None
        self._moments = torch.zeros((groups, 3, 3), dtype=torch.float64)
        self._weight = self._tau = 0.0

    def _take(self, values: Tensor) -> Tensor:
        return values.index_select(0, self._chosen).double().cpu()

    def step(self, params: Tensor, gradients: Sequence[Gradient], weights: Sequence[float]) -> None:
        """Take a step in; nothing of it is changed.

        params: after it, [P]. gradients: what it applied, with their weights w(tau).
        """
        now = self._take(params)
        moved, before = now - self._at, self._before
        self._at, self._before = now, moved
        samples = sum(gradient.samples for gradient in gradients)
        shares = [w * (g.samples / samples) for w, g in zip(weights, gradients, strict=True)]
        weight = sum(shares)
        taus = sum(share * g.tau for share, g in zip(shares, gradients, strict=True))
        self._weight = _DECAY * self._weight + (1 - _DECAY) * weight
        self._tau = _DECAY * self._tau + (1 - _DECAY) * taus
        if before is None:
            return
        mean = shares[0] * self._take(gradients[0].values)
        for share, gradient in zip(shares[1:], gradients[1:], strict=True):
            mean += share * self._take(gradient.values)
        # Each step counts alike, however long: the first ones would outweigh all others.
        long = float(before @ before)
        if 0 < long < math.inf and bool((mean + moved).isfinite().all()):
            rows = torch.stack([moved, before, mean]).div_(long**0.5)
            rows = rows.reshape(3, len(self._moments), -1).transpose(0, 1)
            self._moments *= _DECAY
            self._moments += (1 - _DECAY) * (rows @ rows.mT)

    @property
    def staleness(self) -> float:
        """Mean of tau over what was applied lately, by weight; 0 before the first step."""
        return self._tau / self._weight if self._weight else 0.0

    @property
    def explicit(self) -> float | None:
        """The momentum mu of the steps themselves, None where it cannot be told."""
        m = self._moments
        size = m[:, 1, 1] * m[:, 2, 2]
        rest = size - m[:, 1, 2] ** 2
        clear = rest > _ALIKE * size
        if not bool(clear.any()):
            return None
        found = (m[:, 0, 1] * m[:, 2, 2] - m[:, 0, 2] * m[:, 1, 2])[clear] / rest[clear]
        found = found[found.isfinite()].sort().values
        half = len(found) // 2
        return float((found[half] + found[-1 - half]) / 2) if len(found) else None

    @property
    def total(self) -> float | None:
        """The total momentum, None where it cannot be told or the steps grow by themselves."""
        explicit = self.explicit
        if explicit is None or explicit >= 1:
            return None
        return 1 - 1 / (self.staleness + 1 / (1 - explicit))
