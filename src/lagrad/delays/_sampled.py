"""Any continuous distribution of SciPy."""

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ._draws import BLOCK, endless, generator


class Frozen(Protocol):
    """What is asked of a frozen distribution of scipy.stats."""

    dist: Any
    args: Any
    kwds: Any


@dataclass(frozen=True, repr=False)
class Sampled:
    """Every job's duration is drawn from a distribution of SciPy.

        duration ~ distribution

    distribution: a frozen continuous distribution, `scipy.stats.gamma(100, scale=0.01)`, or the
    same as text, "gamma(100, scale=0.01)"; numbers only, no code is run. Kept as text in one normal
    form, so that models compare, pickle and print by name and arguments.
    Unit: the mean job of a healthy worker; a mean of 1 is meant, not enforced.
    Raises: ValueError for an unknown distribution, malformed text, or arguments it refuses; the
    stream does for a draw that is negative or not finite.
    Source: SciPy, https://docs.scipy.org/doc/scipy/reference/stats.html.

    >>> Sampled("lognorm(1.0, scale=0.5)")
    Sampled(lognorm(1, scale=0.5))
    >>> next(Sampled("uniform(0.5, 1)").stream(worker=0, seed=0)) >= 0.5
    True
    """

    distribution: str | Frozen

    def __post_init__(self) -> None:
        given = self.distribution
        if isinstance(given, str):
            name, args, named = _read(given)
        else:
            name, args, named = _take_apart(given)
        text = _write(name, args, named)
        object.__setattr__(self, "distribution", text)
        low, high = self.freeze().support()
        if math.isnan(low) or math.isnan(high):
            raise ValueError(
                f"Expected arguments within the domain of {name}, got {text}; "
                f"scipy.stats.{name} tells it."
            )

    def __repr__(self) -> str:
        return f"Sampled({self.distribution})"

    def freeze(self) -> Any:
        """The frozen distribution of scipy.stats."""
        name, args, named = _read(str(self.distribution))
        return _find(name)(*args, **named)

    def stream(self, worker: int, seed: int) -> Iterator[float]:
        """Independent draws."""
        frozen, random = self.freeze(), generator(worker, seed)

        def draw(size: int) -> NDArray[np.float64]:
            with np.errstate(over="ignore"):  # an overflow is reported below, as a draw of inf
                draws = frozen.rvs(size=size, random_state=random)
            durations = np.asarray(draws, dtype=np.float64)
            wrong = durations[~((durations >= 0) & np.isfinite(durations))]
            if len(wrong):
                raise ValueError(
                    f"Expected durations that are finite and >= 0, got a draw of {wrong[0]} from "
                    f"{self.distribution}; choose a distribution on the positive numbers."
                )
            return durations

        # SciPy draws some distributions from several arrays of random numbers, one after another.
        return endless(draw, first=BLOCK)


def _find(name: str) -> Any:
    # SciPy's distributions take long to import, and only this model needs them.
    from scipy import stats

    distribution = getattr(stats, name, None)
    if not isinstance(distribution, stats.rv_continuous):
        raise ValueError(
            f"Expected a continuous distribution of scipy.stats, got {name!r}; "
            "for example gamma, lognorm, expon, weibull_min or uniform."
        )
    return distribution


def _read(text: str) -> tuple[str, Sequence[Any], Mapping[str, Any]]:
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, (), {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
            if len(named) < len(node.keywords):
                raise _malformed(text)
            return node.func.id, [ast.literal_eval(argument) for argument in node.args], named
    # All that literal_eval is documented to raise.
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise _malformed(text) from error
    raise _malformed(text)


def _malformed(text: str) -> ValueError:
    return ValueError(
        f"Expected a distribution as name(number, ..., scale=number), got {text!r}; "
        "for example 'lognorm(1.0, scale=0.5)'."
    )


def _take_apart(frozen: Frozen) -> tuple[str, Sequence[Any], Mapping[str, Any]]:
    name = getattr(getattr(frozen, "dist", None), "name", None)
    if not isinstance(name, str) or type(_find(name)) is not type(frozen.dist):
        raise ValueError(
            "Expected a frozen continuous distribution of scipy.stats or its text, got "
            f"{frozen!r}; for example scipy.stats.gamma(100, scale=0.01), with its arguments."
        )
    return name, frozen.args, frozen.kwds


def _write(name: str, args: Sequence[Any], named: Mapping[str, Any]) -> str:
    """The normal form: shapes in order and unnamed, then loc and scale where they matter."""
    shapes = [shape.strip() for shape in (_find(name).shapes or "").split(",") if shape]
    order = [*shapes, "loc", "scale"]
    if len(args) > len(order) or set(named) & set(order[: len(args)]) or set(named) - set(order):
        raise ValueError(
            f"Expected arguments {', '.join(order)} of {name}, each at most once, "
            f"got {[*args, *(f'{key}={value}' for key, value in named.items())]}; name them."
        )
    values = dict(zip(order, args, strict=False)) | dict(named)
    missing = [shape for shape in shapes if shape not in values]
    if missing:
        raise ValueError(f"Expected {name} with {', '.join(missing)}; give every shape a number.")
    parts = [_number(name, shape, values[shape]) for shape in shapes]
    for key, default in (("loc", "0"), ("scale", "1")):
        if key in values and (part := _number(name, key, values[key])) != default:
            parts.append(f"{key}={part}")
    return f"{name}({', '.join(parts)})"


def _number(name: str, key: str, value: Any) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected a number as {key} of {name}, got {value!r}; without quotes or units."
        ) from error
    if not math.isfinite(number):
        raise ValueError(
            f"Expected a finite {key} of {name}, got {number}; leave it out or fix it."
        )
    return repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
