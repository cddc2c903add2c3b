"""Rounds in which a worker's further gradients count less and less."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from lagrad.core import Gradient, Layout
from lagrad.schedules import Schedule

from ._base import Elementwise, Rated, SendsParams, Unweighted, require_workers


@dataclass
class ThrottleState:
    """arrivals: of each worker in this round. begun_at: version at which the round began."""

    arrivals: Counter[int] = field(default_factory=Counter)
    begun_at: int = 0


@dataclass(frozen=True)
class Throttle(Rated, SendsParams, Unweighted, Elementwise):
    """Asynchronous steps within rounds; a worker's c-th gradient of a round is damped.

        x <- x - eta (1/N) q^(1-c) g

    A round ends when each of N workers has sent a gradient of it. Gradients at parameters from
    before the round are discarded. q -> 1: asynchronous SGD but for those; q -> infinity: every
    worker once a round. A worker that never comes back leaves the round, and its damping, open.
    workers: N >= 1. lr: eta >= 0, a number or a schedule. damping: q >= 1. For policy
    `Asynchronous`. Sent: x. Memory: none.
    Source: Otsuka, Meyer, Takezawa, Koloskova, Yamada 2026; read: weight 1/n for a worker's first
    gradient, then powers of 1/q, taken here relative to the first. Deviation: work under way at
    the end of a round is finished before it is discarded.

    >>> Throttle(4, lr=0.1).damping
    1.1
    """

    workers: int
    lr: float | Schedule = 0.1
    damping: float = 1.1

    def __post_init__(self) -> None:
        self.require_rate()
        require_workers(self.workers)
        if not 1 <= self.damping < math.inf:
            raise ValueError(f"Expected a finite damping >= 1, got {self.damping}; use 1.1.")

    def init(self, params: Tensor, layout: Layout) -> ThrottleState:
        """The first round begins."""
        del params, layout
        return ThrottleState()

    def apply(
        self, params: Tensor, state: ThrottleState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """A damped step for each gradient of this round."""
        samples = sum(gradient.samples for gradient in gradients)
        for gradient in gradients:
            if version - gradient.tau < state.begun_at:
                continue
            weight = self.damping ** -state.arrivals[gradient.worker] / self.workers
            state.arrivals[gradient.worker] += 1
            share = gradient.samples / samples
            params.sub_(gradient.values, alpha=self.rate(version) * weight * share)
        if len(state.arrivals) >= self.workers:
            state.arrivals, state.begun_at = Counter(), version + 1
