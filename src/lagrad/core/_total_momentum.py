"""How much momentum a run shows, by whatever it comes about."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ._holder import Coordinates
from ._interfaces import Gradient

#: Coordinates looked at, and into how many parts of equal size they are put.
_COORDINATES, _GROUPS = 512, 16
#: What is measured is forgotten by this factor a step.
_DECAY = 0.99
#: Steps that are noted before they are summed up together.
_BLOCK = 256
#: In a long run, once this many blocks have been looked at, so many are passed over after each.
_FIRST, _PASSED = 4, 3
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
    Beyond 1024 steps, 256 of each 1024 are looked at. Memory: 514 vectors of 512. Where a rule is
    no heavy ball in its gradients (a momentum per worker, Nesterov, adaptive steps), mu is that of
    the heavy ball that fits its steps best.
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

    #: What a checkpoint keeps.
    CHANGES = (
        "_chosen",
        "_noted",
        "_shares",
        "_blocks",
        "_pass",
        "_moved",
        "_sums",
        "_weight",
        "_tau",
    )

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
        #: The points x_{t-1} and x_t before the noted steps, and after each; their gradients, which
        #: count by the shares. One by one: each call of a step finds its code gone from the caches.
        self._points = [self._take(params)] * 2
        self._means: list[Tensor] = []
        self._shares: list[float] = []
        self._blocks = self._pass = 0
        self._moved = False
        self._sums = torch.zeros((groups, 3, 3), dtype=torch.float64)
        self._weight = self._tau = 0.0

    def _take(self, values: Coordinates) -> Tensor:
        return values.index_select(0, self._chosen)

    def step(
        self, params: Coordinates, gradients: Sequence[Gradient], weights: Sequence[float]
    ) -> None:
        """Take a step in; nothing of it is changed.

        params: after it, [P], or who can read them. gradients: what it applied, with their weights
        w(tau).
        """
        if self._pass:
            self._pass -= 1
            if self._pass < 2:  # the two points before the next block
                self._points[1 - self._pass] = self._take(params)
            return
        shares = weights
        if len(gradients) > 1:
            samples = sum(gradient.samples for gradient in gradients)
            shares = [w * (g.samples / samples) for w, g in zip(weights, gradients, strict=True)]
        weight = taus = 0.0
        for number, gradient in enumerate(gradients):
            share = shares[number]
            weight += share
            taus += share * gradient.tau
            values = self._take(gradient.values)
            if not number:
                self._means.append(values)
            elif number == 1:
                self._means[-1].mul_(shares[0]).add_(values, alpha=share)
            else:
                self._means[-1].add_(values, alpha=share)
        self._shares.append(shares[0] if len(gradients) == 1 else 1.0)
        self._weight = _DECAY * self._weight + (1 - _DECAY) * weight
        self._tau = _DECAY * self._tau + (1 - _DECAY) * taus
        self._points.append(self._take(params))
        self._sum_up()

    def look(self, params: Coordinates) -> Tensor:
        """What `steps` is to be told of the parameters after a step."""
        return self._take(params)

    def steps(
        self,
        looks: Sequence[Tensor],
        values: Tensor,
        weights: Sequence[float],
        taus: Sequence[int],
    ) -> None:
        """Take in steps of one gradient each, as `step` does one by one.

        looks: after each step, see `look`. values: the gradients, [n, P].
        """
        begin, count = 0, len(looks)
        while begin < count:
            if self._pass:
                end = begin + min(self._pass, count - begin)
                self._pass -= end - begin
                for left in range(self._pass, min(2, self._pass + end - begin)):
                    self._points[1 - left] = looks[end - 1 - (left - self._pass)]
                begin = end
                continue
            end = begin + min(_BLOCK - len(self._means), count - begin)
            self._means += values[begin:end].index_select(1, self._chosen).unbind()
            self._shares += weights[begin:end]
            self._points += looks[begin:end]
            for weight, tau in zip(weights[begin:end], taus[begin:end], strict=True):
                self._weight = _DECAY * self._weight + (1 - _DECAY) * weight
                self._tau = _DECAY * self._tau + (1 - _DECAY) * (weight * tau)
            begin = end
            self._sum_up()

    def _sum_up(self) -> None:
        """Sum up a block that is full.

        Always after as many steps, so that nothing depends on when somebody has looked.
        """
        if len(self._means) < _BLOCK:
            return
        self._sums = self._summed()
        self._points, self._means, self._shares = self._points[-2:], [], []
        self._moved = True
        self._blocks += 1
        self._pass = _PASSED * _BLOCK if self._blocks >= _FIRST else 0

    @property
    def _noted(self) -> tuple[Tensor, Tensor]:
        """The points, [n + 2, coordinates], and the gradients, [n, coordinates]."""
        points = torch.stack(self._points)
        return points, torch.stack(self._means) if self._means else points[:0]

    @_noted.setter
    def _noted(self, noted: tuple[Tensor, Tensor]) -> None:
        self._points, self._means = (list(rows) for rows in noted)

    def _summed(self) -> Tensor:
        """The sums of products, [groups, 3, 3], with those of the steps that are noted."""
        points, means = (noted.double().cpu() for noted in self._noted)
        steps = points.diff(dim=0)
        moved, before = steps[1:], steps[:-1]
        means = means * torch.tensor(self._shares, dtype=torch.float64)[:, None]
        # Each step counts alike, however long: the first ones would outweigh all others.
        long = before.square().sum(1)
        fit = (long > 0) & long.isfinite() & (moved + means).isfinite().all(1)
        if not self._moved:  # before the very first step there was none
            fit[:1] = False
        if not bool(fit.all()):
            moved, before, means, long = moved[fit], before[fit], means[fit], long[fit]
        ages = torch.arange(len(long) - 1, -1, -1, dtype=torch.float64)
        # Put where they belong at once and scaled there: new memory costs more than the sums.
        groups = len(self._sums)
        width = moved.shape[1] // groups
        if groups == 1:  # sums over rows side by side: in another order, they have other last bits
            rows = moved.new_empty((len(long), 3, 1, width)).permute(2, 1, 0, 3)
        else:
            rows = moved.new_empty((groups, 3, len(long), width))
        for number, part in enumerate((moved, before, means)):
            rows[:, number] = part.view(len(long), groups, width).transpose(0, 1)
        rows /= long.sqrt()[:, None]
        rows *= (_DECAY**ages * (1 - _DECAY)).sqrt()[:, None]
        rows = rows.flatten(2)
        return _DECAY ** len(ages) * self._sums + rows @ rows.mT

    @property
    def staleness(self) -> float:
        """Mean of tau over what was applied lately, by weight; 0 before the first step."""
        return self._tau / self._weight if self._weight else 0.0

    @property
    def explicit(self) -> float | None:
        """The momentum mu of the steps themselves, None where it cannot be told."""
        m = self._summed()
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
