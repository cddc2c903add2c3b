"""How past gradients are kept so that they can be weighed by their age.

All memories answer the same question, sum_i c_i gamma(age_i) g_i over the gradients taken in so
far, and differ in what they keep: one vector for geometric kernels, one vector per age, a few
vectors for a mixture of exponentials, or every gradient (the reference straight from the formula).
"""

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lagrad.core import Weight
from lagrad.weights import Constant, CutOff, Exponential, Geometric

from ._base import weighted_sum

#: How well, and up to which age, a mixture of exponentials has to fit its kernel.
_TOLERANCE, _AGES = 2e-3, 2000


@dataclass(frozen=True, slots=True)
class Part:
    """c g: one gradient of a step, with its coefficient and its age in ticks on arrival."""

    values: Tensor
    coefficient: float
    age: int


class Memory(abc.ABC):
    """Keeps gradients and lets them age."""

    @abc.abstractmethod
    def tick(self) -> None:
        """Everything kept gets one tick older."""

    @abc.abstractmethod
    def absorb(self, parts: Sequence[Part]) -> None:
        """Take in the gradients of one step."""

    @abc.abstractmethod
    def direction(self) -> Tensor:
        """Sum of all kept gradients, weighed by their age: [P], read only."""


@dataclass
class Recursion(Memory):
    """gamma(k) = ratio^k: m <- ratio m + sum c ratio^age g. One vector."""

    ratio: float
    momentum: Tensor

    def tick(self) -> None:
        """Decay: m <- ratio m."""
        self.momentum.mul_(self.ratio)

    def absorb(self, parts: Sequence[Part]) -> None:
        """Add: m <- m + sum c ratio^age g; the sum is formed first, as a mean is."""
        values, factor = weighted_sum(
            [(part.values, part.coefficient * self.ratio**part.age) for part in parts]
        )
        self.momentum.add_(values, alpha=factor)

    def direction(self) -> Tensor:
        """The momentum m itself."""
        return self.momentum


@dataclass
class Ring(Memory):
    """Any gamma with gamma(k) = 0 beyond `horizon`: one vector per age, horizon + 1 in all."""

    kernel: Weight
    by_age: list[Tensor]

    def tick(self) -> None:
        """The oldest vector is forgotten and becomes the youngest."""
        self.by_age.insert(0, self.by_age.pop().zero_())

    def absorb(self, parts: Sequence[Part]) -> None:
        """Each gradient is added at its age; what is older than the horizon is left out."""
        for part in parts:
            if part.age < len(self.by_age):
                self.by_age[part.age].add_(part.values, alpha=part.coefficient)

    def direction(self) -> Tensor:
        """The sum over ages."""
        result = torch.zeros_like(self.by_age[0])
        for age, values in enumerate(self.by_age):
            result.add_(values, alpha=self.kernel(age))
        return result


@dataclass
class Exponentials(Memory):
    """gamma(k) = sum_j a_j r_j^k: one vector per term."""

    amplitudes: tuple[float, ...]
    terms: list[Recursion]

    def tick(self) -> None:
        """Every term decays at its own ratio."""
        for term in self.terms:
            term.tick()

    def absorb(self, parts: Sequence[Part]) -> None:
        """Every term takes the gradients at its own ratio."""
        for term in self.terms:
            term.absorb(parts)

    def direction(self) -> Tensor:
        """The sum over terms."""
        result = torch.zeros_like(self.terms[0].momentum)
        for amplitude, term in zip(self.amplitudes, self.terms, strict=True):
            result.add_(term.momentum, alpha=amplitude)
        return result


@dataclass
class History(Memory):
    """Any gamma: every gradient is kept. The reference that the others are tested against.

    last: the largest age of weight above 0, None if there is none.
    """

    kernel: Weight
    last: int | None
    like: Tensor
    kept: list[Part] = field(default_factory=list)

    def tick(self) -> None:
        """Every gradient gets one tick older."""
        self.kept = [Part(part.values, part.coefficient, part.age + 1) for part in self.kept]

    def absorb(self, parts: Sequence[Part]) -> None:
        """Keep copies."""
        self.kept += [Part(part.values.clone(), part.coefficient, part.age) for part in parts]

    def direction(self) -> Tensor:
        """The formula, term by term."""
        result = torch.zeros_like(self.like)
        for part in self.kept:
            if self.last is None or part.age <= self.last:
                result += part.coefficient * self.kernel(part.age) * part.values
        return result


def geometric_ratio(kernel: Weight) -> float | None:
    """The r of a kernel r^k, None for any other kernel.

    >>> geometric_ratio(Geometric(0.9))
    0.9
    """
    if isinstance(kernel, Geometric):
        return kernel.ratio
    if isinstance(kernel, Exponential):
        return kernel(1)
    return 1.0 if isinstance(kernel, Constant) else None


def last_age(kernel: Weight, horizon: int | None) -> int | None:
    """The largest age of weight above 0, None if there is none."""
    if isinstance(kernel, CutOff):
        return kernel.last if horizon is None else min(kernel.last, horizon)
    return horizon


@lru_cache(maxsize=64)
def fit_exponentials(kernel: Weight) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(amplitudes, ratios) with |gamma(k) - sum_j a_j r_j^k| <= 2e-3 for k < 2000, gamma(0) exact.

    Non-negative least squares over a logarithmic grid of decay rates.
    Raises: ValueError if the kernel is no such mixture (one that stays flat and then falls).
    """
    from scipy.optimize import nnls  # slow to import; few runs need it

    k = np.unique(np.concatenate([np.arange(64), np.geomspace(64, _AGES, 128).astype(int)]))
    # The newest gradient counts most; then gamma(0) = 1, the sum of the amplitudes, is made exact.
    row_weights = np.where(k == 0, 100.0, 1.0)
    wanted = np.array([kernel(int(age)) for age in k])
    error = np.inf
    # Rates a factor of 3.7 apart, or 2.5 where that is too coarse (steep kernels): a finer grid
    # fits better than needed, at a vector per rate.
    for count in (10, 14):
        ratios = np.concatenate([[0.0], np.exp(-np.geomspace(3e-5, 4.0, count))])
        basis = ratios[None, :] ** k[:, None]
        amplitudes, _ = nnls(basis * row_weights[:, None], wanted * row_weights)
        amplitudes /= amplitudes.sum()
        error = min(error, float(np.abs(basis @ amplitudes - wanted).max()))
        if error <= _TOLERANCE:
            used = amplitudes > 1e-9
            return tuple(amplitudes[used].tolist()), tuple(ratios[used].tolist())
    raise ValueError(
        f"Expected a kernel that is a mixture of exponentials, got {kernel}, which the best "
        f"mixture misses by {error:.3f}; give a horizon, which keeps one vector per age."
    )
