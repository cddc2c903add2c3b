"""The worst eigenvalue at a learning rate, and the rates where it is best."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ._dynamics import growth
from ._recursions import Floats, Recursion, find_rule
from ._staleness import Staleness

#: Learning rates per factor of 10 when searching, and eigenvalues per factor of 10 when judging.
_RATES, _EIGENVALUES = 20, 200
#: Rates that are searched, in units that make the best ones about 1: above the largest
#: every rule is unstable, below the smallest it is stable, and slower.
_LARGEST, _SMALLEST = 10.0, 0.05
#: Rates of a round that zooms in to a sixth, and rounds: to 1e-6 of a cell.
_FINE, _ROUNDS = 13, 8


@dataclass(frozen=True)
class Problem:
    """A rule on quadratics with eigenvalues in [1/condition, 1]; nothing is checked here."""

    rule: str
    staleness: Staleness
    condition: float

    def time_constant(self, lr: float, momentum: float) -> float:
        """-1 / ln of the worst spectral radius; inf if that is 1 or more."""
        count = math.ceil(_EIGENVALUES * math.log10(self.condition)) + 1
        x = np.geomspace(lr / self.condition, lr, count)
        worst = float(growth(self._recursion(np.array([momentum])), self.staleness, x[None]).max())
        if worst >= 1:
            return math.inf
        return -1 / math.log(worst) if worst > 0 else 0.0

    def best_rates(self, momenta: Floats) -> tuple[Floats, Floats]:
        """(learning rates, worst spectral radii) [B].

        The worst eigenvalue at a rate is the largest rho(x) in a window of ln(condition) on the
        axis ln x, so that one curve per momentum serves all rates; then a search between the
        points of the curve. Eigenvalues inside the window count, not only its ends.
        """
        step = math.log(self.condition) / self._window if self._window else math.log(10) / _RATES
        # Limits fall with the delay; that of the mean with exponential workers grows with them.
        unit = self.staleness.workers if self.staleness.random else 1 / self.staleness.workers
        top = math.log(_LARGEST * unit)
        least = _SMALLEST * (1 - np.abs(momenta).max()) / (self.staleness.delay + 1)
        rates = math.ceil((top - math.log(least)) / step) + 1
        grid = np.asarray(top - step * np.arange(rates + self._window)[::-1], dtype=np.float64)
        recursion = self._recursion(momenta)
        curve = growth(recursion, self.staleness, np.tile(np.exp(grid), (len(momenta), 1)))
        worst = sliding_window_view(curve, self._window + 1, axis=1).max(axis=-1)
        return self._between(recursion, grid, curve, worst.argmin(axis=1))

    @property
    def _window(self) -> int:
        return math.ceil(_RATES * math.log10(self.condition))

    def _recursion(self, momenta: Floats) -> Recursion:
        return find_rule(self.rule).build(momenta, self.staleness.delay, self.staleness.workers)

    def _between(
        self, recursion: Recursion, grid: Floats, curve: Floats, best: NDArray[np.intp]
    ) -> tuple[Floats, Floats]:
        """Zoom in on ln rate, one grid cell to either side of window number `best` [B]."""
        rows, above = np.arange(len(best))[:, None], best + self._window
        at_top, at_bottom = curve[rows[:, 0], above], curve[rows[:, 0], best]
        inner = [curve[row, best[row] + 1 : above[row]].max(initial=0.0) for row in rows[:, 0]]
        centre, width = grid[above][:, None], float(grid[1] - grid[0])
        rate = centre
        for _ in range(_ROUNDS):
            rates = rate + width * np.linspace(-1, 1, _FINE)
            ends = np.exp(np.concatenate([rates, rates - math.log(self.condition)], axis=1))
            upper, lower = np.split(growth(recursion, self.staleness, ends), 2, axis=1)
            passed = np.where(rates > centre, at_top[:, None], at_bottom[:, None])
            worst = np.maximum.reduce([upper, lower, passed, np.array(inner)[:, None] + 0 * upper])
            chosen = worst.argmin(axis=1)[:, None]
            rate = rates[rows, chosen]
            width /= (_FINE - 1) / 2
        return np.exp(rate[:, 0]), worst[rows, chosen][:, 0]
