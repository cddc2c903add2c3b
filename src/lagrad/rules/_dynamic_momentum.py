"""Momentum by date: a gradient's share depends on when it was computed, not when it arrived."""

import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout, Linear, Weight
from lagrad.schedules import Schedule
from lagrad.weights import Constant, Geometric

from ._base import Elementwise, Rated, mean, require_decay, weighted_sum
from ._memories import (
    Exponentials,
    History,
    Memory,
    Part,
    Recursion,
    Ring,
    fit_exponentials,
    geometric_ratio,
    last_age,
)
from ._roll_forward import RollForward, led

_LONGEST_RING = 10_000
MemoryName = Literal["auto", "recursion", "ring", "exponentials", "history"]


@dataclass
class DynamicState:
    """memory: the dated gradients. last: mean gradient of the last step [P], for look-ahead.

    on_time: partial sums of the kernel, on_time[k] = sum_{j<k} gamma(j).
    """

    memory: Memory
    last: Tensor | None
    on_time: list[float] = field(default_factory=lambda: [0.0])


@dataclass(frozen=True)
class DynamicMomentum(Rated, Elementwise):
    """Momentum that indexes gradients by the date they were computed at, not by arrival.

        d_t = sum_{j>=0} (1/n_{t-j}) sum_{i in B_{t-j}} w(tau_i) gamma(tau_i + j) g_i
        x <- x - eta d_t

    A gradient late by tau enters with w(tau) gamma(tau) and goes on ageing; 1/n is the share in
    the step's samples. Ages count ticks of `bucket` versions; between ticks only the gradients
    that have just arrived move x.

    lr: eta >= 0, a number or a schedule on the version.
    kernel: gamma(age). weight: w(tau). horizon: ages beyond it weigh 0 (0: late gradients count
    nothing and there is no momentum); None: no horizon.
    catch_up: c in [0, 1]; on arrival c w(tau) sum_{j<age} gamma(j) g is added once, what the
    gradient would have contributed had it been on time.
    bucket: versions per tick, age = ceil(t/bucket) - ceil((t - tau)/bucket); 1, or the workers.
    lookahead: what workers are sent; None: x.
    weight_decay: lambda >= 0; lambda x joins each step as a gradient of age 0.
    memory: how the past is kept: "recursion" (1 vector, kernels r^k without horizon), "ring"
    (horizon + 1 vectors), "exponentials" (a vector per term of a fitted mixture, within 2e-3 of
    the kernel), "history" (every gradient: the reference), or "auto", the cheapest that is exact,
    else exponentials. Look-ahead adds one vector.
    Raises: ValueError where these do not go together.

    Special cases: kernel Geometric(beta) and nothing late: heavy ball, bit for bit. kernel
    Geometric(1/8), horizon 1: equation (5) of the note. catch_up 1 and bucket N: ordered momentum
    (OrMo). catch_up 1, bucket 1: spike compensation.
    Source: "Benefits of staleness and asynchrony in machine learning algorithms" (Wang, Ma, Jin,
    2017), generalised.

    >>> rule = DynamicMomentum(lr=0.05, kernel=Geometric(0.9))
    >>> round(rule.weight_of(2, version=7, state=None), 12)
    0.81
    """

    lr: float | Schedule = 0.1
    kernel: Weight = Geometric(0.9)
    weight: Weight = Constant()
    horizon: int | None = None
    catch_up: float = 0.0
    bucket: int = 1
    lookahead: RollForward | None = None
    weight_decay: float = 0.0
    memory: MemoryName = "auto"

    def __post_init__(self) -> None:
        self.require_rate()
        require_decay(self.weight_decay)
        if not 0 <= self.catch_up <= 1:
            raise ValueError(f"Expected catch_up in [0, 1], got {self.catch_up}; use 0 for none.")
        if self.bucket < 1:
            raise ValueError(f"Expected a bucket of at least 1 version, got {self.bucket}; use 1.")
        if self.horizon is not None and self.horizon < 0:
            raise ValueError(
                f"Expected horizon >= 0 or None, got {self.horizon}; use None for all ages."
            )
        if self.memory not in typing.get_args(MemoryName):
            raise ValueError(
                f"Expected memory {', '.join(typing.get_args(MemoryName))}, got {self.memory!r}; "
                '"auto" finds one that fits.'
            )
        memory = self._memory_name()
        if memory == "ring" and (self._last_age or 0) > _LONGEST_RING:
            raise ValueError(
                f"Expected a horizon of at most {_LONGEST_RING} versions, got {self._last_age}, "
                "at a vector each; a kernel without horizon needs less."
            )
        if memory == "recursion" and (self.horizon is not None or self._ratio is None):
            raise ValueError(
                f'Expected a geometric kernel without horizon for memory "recursion", got '
                f'{self.kernel} with horizon {self.horizon}; "auto" finds a memory that fits.'
            )
        if memory == "ring" and self._last_age is None:
            raise ValueError(
                f'Expected a horizon for memory "ring", got none with {self.kernel}; give one.'
            )
        if memory == "exponentials":
            if self._last_age is not None:
                raise ValueError('A mixture of exponentials has no horizon; use memory "ring".')
            fit_exponentials(self.kernel)
        rolls = memory == "recursion" and self._ratio != 1 and self.bucket == 1
        if self.lookahead is not None and not rolls:
            raise ValueError(
                "Look-ahead rolls the recursion m <- beta m + g forward: it needs a geometric "
                f"kernel below 1, no horizon and bucket 1; got {self.kernel}, horizon "
                f"{self.horizon}, bucket {self.bucket}; change these, or leave lookahead out."
            )

    @property
    def needs_snapshots(self) -> bool:
        """No: dates and gradients suffice."""
        return False

    @property
    def looks_ahead(self) -> bool:
        """If it was given a look-ahead."""
        return self.lookahead is not None

    @property
    def _ratio(self) -> float | None:
        return geometric_ratio(self.kernel)

    @property
    def _last_age(self) -> int | None:
        return last_age(self.kernel, self.horizon)

    def _memory_name(self) -> MemoryName:
        if self.memory != "auto":
            return self.memory
        if self._last_age is not None:
            return "ring"
        return "exponentials" if self._ratio is None else "recursion"

    def init(self, params: Tensor, layout: Layout) -> DynamicState:
        """Nothing in memory."""
        del layout
        zeros = torch.zeros_like
        memory: Memory
        match self._memory_name():
            case "recursion":
                assert self._ratio is not None
                memory = Recursion(self._ratio, zeros(params))
            case "ring":
                assert self._last_age is not None
                memory = Ring(self.kernel, [zeros(params) for _ in range(self._last_age + 1)])
            case "exponentials":
                amplitudes, ratios = fit_exponentials(self.kernel)
                memory = Exponentials(amplitudes, [Recursion(r, zeros(params)) for r in ratios])
            case _:
                memory = History(self.kernel, self._last_age, zeros(params))
        return DynamicState(memory, None if self.lookahead is None else zeros(params))

    def _gamma(self, age: int) -> float:
        last = self._last_age
        return 0.0 if last is not None and age > last else self.kernel(age)

    def _tick(self, version: int) -> int:
        return -(-version // self.bucket)

    def _age(self, tau: int, version: int) -> int:
        return self._tick(version) - self._tick(version - tau)

    def weight_of(self, tau: int, *, version: int, state: DynamicState | None) -> float:
        """w(tau) gamma(age): the share of the momentum at which the gradient enters."""
        del state
        return self.weight(tau) * self._gamma(self._age(tau, version))

    def _on_arrival(self, state: DynamicState, age: int) -> float:
        """What the catch-up adds: c sum_{j<age} gamma(j)."""
        sums = state.on_time
        while len(sums) <= age:
            sums.append(sums[-1] + self._gamma(len(sums) - 1))
        return self.catch_up * sums[age]

    def linear(
        self, state: DynamicState, gradients: Sequence[Gradient], *, version: int
    ) -> Linear | None:
        """The step where one vector is the memory, and nothing else moves or looks ahead."""
        plain = self.bucket == 1 and not (self.catch_up or self.weight_decay)
        if not plain or state.last is not None or not isinstance(state.memory, Recursion):
            return None
        values, factor = weighted_sum(
            [
                (part.values, part.coefficient * state.memory.ratio**part.age)
                for part in self._parts(gradients, version)
            ]
        )
        memory = state.memory
        return Linear(memory.momentum, memory.ratio, values, factor, self.rate(version))

    def _parts(self, gradients: Sequence[Gradient], version: int) -> list[Part]:
        samples = sum(gradient.samples for gradient in gradients)
        return [
            Part(
                gradient.values,
                self.weight(gradient.tau) * (gradient.samples / samples),
                self._age(gradient.tau, version),
            )
            for gradient in gradients
        ]

    def apply(
        self, params: Tensor, state: DynamicState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """Age the memory if a tick has passed, take the step's gradients in, move."""
        lr = self.rate(version)
        parts = self._parts(gradients, version)
        if state.last is not None:
            state.last.copy_(mean(gradients, Constant(), params=params)[0])
        if self.weight_decay:
            parts.append(Part(params, self.weight_decay, 0))
        arrivals = [(part, self._on_arrival(state, part.age)) for part in parts]
        ticked = version == 0 or self._tick(version) > self._tick(version - 1)
        if ticked:
            state.memory.tick()
            state.memory.absorb(parts)
            params.add_(state.memory.direction(), alpha=-lr)
        else:
            state.memory.absorb(parts)
            arrivals = [(part, c + self._gamma(part.age)) for part, c in arrivals]
        moving = [(part, coefficient) for part, coefficient in arrivals if coefficient]
        if moving:
            values, factor = weighted_sum(
                [(part.values, part.coefficient * share) for part, share in moving]
            )
            params.add_(values, alpha=-lr * factor)

    def point(
        self, params: Tensor, state: DynamicState, *, version: int, expected_tau: float
    ) -> Tensor:
        """The parameters, or where the look-ahead expects them after `expected_tau` more steps."""
        return led(params, self.terms_ahead(state, version=version, expected_tau=expected_tau))

    def terms_ahead(
        self, state: DynamicState, *, version: int, expected_tau: float
    ) -> list[tuple[Tensor, float]]:
        """What the point adds to the parameters."""
        if self.lookahead is None or version == 0:
            return []
        assert state.last is not None
        assert self._ratio is not None
        return self.lookahead.terms(
            state.memory.direction(),
            state.last,
            lr=self.rate(version),
            beta=self._ratio,
            steps=expected_tau,
        )
