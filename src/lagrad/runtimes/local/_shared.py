"""The parameters in memory that workers read: no step overwrites what somebody computes at."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lagrad.core import Gradient, Linear, Rule, RunningMedian, linear_step, terms_ahead
from lagrad.runtimes._memory import Region, forget, share

from ._passes import LONG, Passes
from ._read_rows import ReadRows

#: Steps that are carried out together at most: more gain little, and their means take memory.
_MOST = 8
#: Dtypes of which a few elements are rounded as they are among many; shorter floats are rounded
#: once where vector instructions take them, and between operations where they do not.
_ALIKE = (torch.float32, torch.float64)


class Shared:
    """Holds the parameters in a row of `points`; see `lagrad.core.Holder`.

    Where nobody computes at the newest parameters a step is in place, else into a free row.
    Linear steps wait until the parameters are asked for, and then pass over memory together.
    params: [P], copied. gathers: whether they wait; where hardly two ever come together, what
    looks at a few coordinates meanwhile costs more than waiting gains.
    """

    def __init__(self, points: ReadRows, params: Tensor, *, gathers: bool = True) -> None:
        self.points = points
        self.gathers = gathers
        self._passes = Passes()
        self._waiting: list[Linear] = []
        self._ahead: _Ahead | None = None
        #: How long it took to carry steps out, of which one may have been halted, by Ctrl+Z say.
        self._lasted = RunningMedian()
        points.renew()[1].copy_(params)

    @property
    def settle_s(self) -> float:
        """What carrying out steps that wait takes lately; 0 where none ever waited."""
        return self._lasted.value()

    @property
    def waits(self) -> bool:
        """Whether there are steps that another one could be carried out together with."""
        return bool(self._waiting)

    @property
    def params(self) -> Tensor:
        """The newest, in the row of now."""
        self.settle()
        return self.points.newest

    def step(self, rule: Rule, state: Any, gradients: Sequence[Gradient], *, version: int) -> None:
        """Take a step; later, if it is linear."""
        linear = linear_step(rule, state, gradients, version=version)
        if linear is not None:
            self._waiting.append(linear)
            # What several gradients were summed up in is kept until then.
            own = linear.values is not gradients[0].values
            if own or not self.gathers or len(self._waiting) == _MOST:
                self.settle()
            return
        self.settle()
        before, after = self.points.renew()
        if after is not before:
            after.copy_(before)
        rule.apply(after, state, gradients, version=version)

    def point(self, rule: Rule, state: Any, *, version: int, expected_tau: float) -> Tensor:
        """What workers are sent, where they read it if the rule says what it adds."""
        params = self.params
        terms = terms_ahead(rule, state, version=version, expected_tau=expected_tau)
        if terms is None:
            return rule.point(params, state, version=version, expected_tau=expected_tau)
        if not terms:
            return params
        point = self.points.ahead()
        for number, (vector, factor) in enumerate(terms):
            torch.add(point if number else params, vector, alpha=factor, out=point)
        return point

    def settle(self) -> None:
        """Carry out the steps that wait."""
        if self._waiting:
            steps, self._waiting, self._ahead = self._waiting, [], None
            begun = time.perf_counter()
            self._passes(steps, *self.points.renew(), busy=self.points.readers)
            self._lasted.add(time.perf_counter() - begun)

    def replace(self, params: Tensor) -> None:
        """Copy them to where nobody computes."""
        self.settle()
        self.points.renew()[1].copy_(params)

    def index_select(self, dim: int, index: Tensor, /) -> Tensor:
        """Of the parameters after the steps that wait, which go on waiting if they can."""
        if not self._waiting or self.points.newest.dtype not in _ALIKE:
            return self.params.index_select(dim, index)
        if self._ahead is None or self._ahead.index is not index:
            self._ahead = _Ahead(index, self.points.newest, self._waiting[0].velocity)
        return self._ahead.after(self._waiting).clone()

    def close(self) -> None:
        """No thread is left; the parameters are."""
        self.settle()
        self._passes.close()


@contextmanager
def sharing(params: Tensor, *, workers: int) -> Iterator[tuple[Region, Shared]]:
    """Shared parameters, a copy of `params` [P], and where workers find them, as long as needed.

    A row for each worker, one for the parameters, and one for the point ahead of them, if the rule
    sends such points.
    """
    region, _ = share("", workers + 2, params)
    try:
        shared = Shared(ReadRows(region.vectors()), params, gathers=params.nbytes >= LONG)
        del params  # shared from now on; this function lasts as long as the run
        try:
            yield region, shared
        finally:
            shared.close()
    finally:
        forget(region)


class _Ahead:
    """A few coordinates of the parameters, for which the steps are taken at once."""

    def __init__(self, index: Tensor, params: Tensor, velocity: Tensor | None) -> None:
        self.index = index
        self._params = params.index_select(0, index)
        self._velocity = None if velocity is None else velocity.index_select(0, index)
        self._taken = 0

    def after(self, steps: Sequence[Linear]) -> Tensor:
        for step in steps[self._taken :]:
            values = step.values.index_select(0, self.index)
            step.of(self._velocity, values).apply(self._params, self._params)
        self._taken = len(steps)
        return self._params
