"""SGD on strongly convex functions with steps 1/(lambda k) and gradients that are off."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def first_step(alpha: float) -> int:
    """From which step on errors eps_k = alpha/k are small enough for `DistanceBound.shrinking`.

        k0 = max(2, ceil(2 alpha^2))

    alpha: finite float >= 0.
    Raises: ValueError for an alpha out of range.

    >>> [first_step(alpha) for alpha in (0.0, 1.0, 2.0)]
    [2, 2, 8]
    """
    _require_error("alpha", alpha)
    return max(2, math.ceil(2 * alpha**2))


@dataclass(frozen=True, kw_only=True)
class DistanceBound:
    """Bounds on E‖w_k - w*‖^2 that hold for all errors of a given relative size.

        w_{k+1} = P(w_k - g_k / (lambda k)),    k = 1, 2, ...
        ‖g_k - grad f_{S_k}(w_k)‖ <= eps_k ‖grad f_{S_k}(w_k)‖

    f is lambda-strongly convex, w* its minimiser on the convex set that P projects onto (all of
    space: no projection), and grad f_{S_k} is unbiased. Proofs: docs/theory.md.

    gradient_bound: M > 0 with E‖grad f_{S_k}(w_k)‖^2 <= M^2 at the steps that a bound is about.
    strong_convexity: lambda > 0.
    Raises: ValueError for numbers out of these ranges.
    Source: section 2 of "Benefits of staleness and asynchrony in machine learning algorithms"
    (Wang, Ma, Jin, 2017), corrected; without errors: Nemirovski, Juditsky, Lan, Shapiro 2009.

    >>> bound = DistanceBound(gradient_bound=1.0, strong_convexity=0.5)
    >>> bound.squared_radius
    4.0
    """

    gradient_bound: float
    strong_convexity: float

    def __post_init__(self) -> None:
        for name in ("gradient_bound", "strong_convexity"):
            number = getattr(self, name)
            if not 0 < number < math.inf:
                raise ValueError(
                    f"Expected a finite {name} > 0, got {number}; M and lambda are sizes."
                )

    @property
    def squared_radius(self) -> float:
        """M^2/lambda^2: E‖w_k - w*‖^2 is never more, whatever the errors."""
        return (self.gradient_bound / self.strong_convexity) ** 2

    def without_error(self, k: int) -> float:
        """The bound for eps = 0, which no better one can replace; free of the start.

            M^2/lambda^2 (k - 1 - H_{k-1}) / ((k - 1) (k - 2)) <= M^2 / (lambda^2 k)    for k >= 3

        and M^2/lambda^2 for k = 1 and 2; H_n = 1 + 1/2 + ... + 1/n.
        k: int >= 1.
        Raises: ValueError if k < 1.

        >>> bound = DistanceBound(gradient_bound=1.0, strong_convexity=1.0)
        >>> [bound.without_error(k) for k in (1, 2, 3)]
        [1.0, 1.0, 0.25]
        """
        _require_step(k, 1)
        if k <= 2:
            return self.squared_radius
        return self.squared_radius * (k - 1 - _harmonic(k - 1)) / ((k - 1) * (k - 2))

    def shrinking(self, k: int, *, alpha: float, at_first: float | None = None) -> float:
        """The bound for eps_k = alpha/k, in proportion to step times lambda.

            L'/k,    L' = max{k0 a, 2 ((1 + alpha/k0)^2 + 1) M^2/lambda^2}

        k: int >= k0 = `first_step(alpha)`. at_first: a >= E‖w_{k0} - w*‖^2; None: M^2/lambda^2.
        Raises: ValueError for k < k0 or a number out of range.

        >>> DistanceBound(gradient_bound=1.0, strong_convexity=1.0).shrinking(100, alpha=0.0)
        0.04
        """
        k0 = first_step(alpha)
        _require_step(k, k0)
        least = 2 * ((1 + alpha / k0) ** 2 + 1) * self.squared_radius
        return max(k0 * self._start(at_first), least) / k

    def slowly_shrinking(self, k: int, *, alpha: float, at_first: float | None = None) -> float:
        """The bound for eps_k = alpha/sqrt(k): errors as large as this keep the rate 1/k.

            L''/k,    L'' = max{2 a, 2 ((1 + alpha/sqrt(2))^2 + 2 alpha^2) M^2/lambda^2}

        k: int >= 2. at_first: a >= E‖w_2 - w*‖^2, or None for M^2/lambda^2.
        Raises: ValueError for k < 2 or a number out of range.

        >>> DistanceBound(gradient_bound=1.0, strong_convexity=1.0).slowly_shrinking(2, alpha=0.0)
        1.0
        """
        _require_error("alpha", alpha)
        _require_step(k, 2)
        least = 2 * ((1 + alpha / math.sqrt(2)) ** 2 + 2 * alpha**2) * self.squared_radius
        return max(2 * self._start(at_first), least) / k

    def constant(self, k: int, *, eps: float) -> float:
        """The bound for errors that do not shrink: a floor eps^2 M^2/lambda^2, free of the start.

            M^2/lambda^2 min{1, eps^2 + (1 + eps)^2 H_{k-1} / (k - 1)}

        k: int >= 1. eps: finite float >= 0. The floor is attained: see `sharp`.
        Raises: ValueError for a number out of range.

        >>> DistanceBound(gradient_bound=1.0, strong_convexity=1.0).constant(2, eps=0.5)
        1.0
        """
        _require_error("eps", eps)
        _require_step(k, 1)
        if k == 1:
            return self.squared_radius
        decaying = (1 + eps) ** 2 * _harmonic(k - 1) / (k - 1)
        return self.squared_radius * min(1.0, eps**2 + decaying)

    def sharp(
        self, errors: Sequence[float], *, first: int = 2, at_first: float | None = None
    ) -> NDArray[np.float64]:
        """The best bound for any errors eps_k, step by step: some problem attains it.

            b_{k+1} = min{M/lambda, sqrt((1 - 2/k) b_k^2 + (M/(lambda k))^2) + eps_k M/(lambda k)}

        errors: eps_k of the steps k = first, first + 1, ... first: int >= 2. at_first:
        >= E‖w_first - w*‖^2, or None for M^2/lambda^2.
        Returns: b_k^2 for k = first, ..., first + len(errors).
        Raises: ValueError for a number out of range.

        >>> DistanceBound(gradient_bound=1.0, strong_convexity=1.0).sharp([0.0, 0.0]).round(3)
        array([1.   , 0.25 , 0.194])
        """
        _require_step(first, 2)
        radius = math.sqrt(self.squared_radius)
        distances = [min(radius, math.sqrt(self._start(at_first)))]
        for k, eps in enumerate(errors, first):
            _require_error("eps", eps)
            exact = math.hypot(math.sqrt(1 - 2 / k) * distances[-1], radius / k)
            distances.append(min(radius, exact + eps * radius / k))
        return np.square(distances)

    def of_the_note(self, k: int, *, at_one: float) -> float:
        """The claim max{‖w_1 - w*‖^2, M^2/lambda^2}/k of the note, which is not always true.

        k: int >= 1. at_one: E‖w_1 - w*‖^2 >= 0.
        Raises: ValueError for a number out of range.

        >>> bound = DistanceBound(gradient_bound=1.0, strong_convexity=1.0)
        >>> bound.of_the_note(2, at_one=0.0) < bound.without_error(2)
        True
        """
        _require_step(k, 1)
        return max(self._start(at_one), self.squared_radius) / k

    def _start(self, squared_distance: float | None) -> float:
        if squared_distance is None:
            return self.squared_radius
        if not 0 <= squared_distance < math.inf:
            raise ValueError(
                f"Expected a finite squared distance >= 0, got {squared_distance}; "
                "leave it out for M^2/lambda^2."
            )
        return squared_distance


def _harmonic(n: int) -> float:
    return math.fsum(1 / j for j in range(1, n + 1))


def _require_step(k: int, first: int) -> None:
    if k < first:
        raise ValueError(
            f"Expected a step of at least {first}, got {k}; the bound holds from there on."
        )


def _require_error(name: str, number: float) -> None:
    if not 0 <= number < math.inf:
        raise ValueError(f"Expected a finite {name} >= 0, got {number}; use 0 for no error.")
