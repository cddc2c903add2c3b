"""Who races: a rule and a policy, and the trials by which the rule is tuned."""

import inspect
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lagrad import specs

#: Of each named hyper-parameter, the values that are tried.
Grid = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Trial:
    """One way to set what is tuned: the whole specification of the rule, and the values in it."""

    rule: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Entrant:
    """A rule under a policy.

    name: in tables and figures. policy: its specification. grid: the values that its trials
    combine, of each hyper-parameter that it has.
    """

    name: str
    policy: str
    grid: Grid
    trials: tuple[Trial, ...]

    def edges(self, rule: str) -> list[str]:
        """The hyper-parameters of a trial that lie at an end of the grid: "lr largest"."""
        values = next(trial.values for trial in self.trials if trial.rule == rule)
        ends = {"smallest": min, "largest": max}
        return [
            f"{name} {word}"
            for name, value in values.items()
            for word, end in ends.items()
            if len(self.grid[name]) > 1 and value == end(self.grid[name])
        ]


def enter(rule: str, policy: str, *, grid: Grid, workers: int, name: str) -> Entrant:
    """The entrant of a rule's template and a policy, with as many trials as anybody has.

    rule: a specification. An argument of the grid that it leaves out is tuned; what it names is
    fixed, unless its value is a place such as `{momentum}`, which is tuned wherever it stands:
    "dynamic:kernel=geometric:{momentum}". `workers` is filled in. Where an entrant has fewer
    hyper-parameters than the grid, the first that it has is tried at more values between the same
    ends; one that has none, or no choice of one, has fewer trials.
    Raises: ValueError for what `specs.parse` refuses of any trial.

    >>> sgd = enter("sgd", "async", grid={"lr": (0.1, 0.4), "momentum": (0.5, 0.9)}, workers=4,
    ...     name="sgd")
    >>> [trial.rule for trial in sgd.trials]
    ['sgd(lr=0.1)', 'sgd(lr=0.1587)', 'sgd(lr=0.252)', 'sgd(lr=0.4)']
    """
    head, given = _split(rule)
    parameters = inspect.signature(_maker(head)).parameters
    places = set(re.findall(r"{(\w+)}", rule))
    _require_places(places, grid, rule)
    named = {piece.split("=")[0].strip() for piece in given if "=" in piece}
    named |= set(list(parameters)[: sum("=" not in piece for piece in given)])
    open_arguments = [each for each in parameters if each not in named]
    if "workers" in open_arguments:
        given = [*given, f"workers={workers}"]
    tuned = [each for each in grid if each in places or each in open_arguments]
    own = _spread(grid, tuned)
    trials = []
    for values in itertools.product(*own.values()):
        chosen = dict(zip(own, values, strict=True))
        arguments = [_filled(piece, chosen) for piece in given]
        arguments += [f"{each}={chosen[each]:.12g}" for each in tuned if each in open_arguments]
        text = f"{head}({', '.join(arguments)})" if arguments else head
        specs.parse("rule", text)
        trials.append(Trial(text, chosen))
    return Entrant(name, policy, own, tuple(trials))


def every_rule(workers: int) -> tuple[str, ...]:
    """The names of all rules that can be made without being told more than the workers.

    Of two names for the same rule the later in the catalogue stands, which is the published one.

    >>> "sgd" in every_rule(4), "clipped" in every_rule(4)
    (True, False)
    """
    names = {}
    for name, maker in specs.catalogue("rule").items():
        parameters = inspect.signature(maker).parameters.values()
        required = {each.name for each in parameters if each.default is each.empty}
        if required <= {"workers"}:
            made = maker(**dict.fromkeys(required, workers))
            names[repr(made)] = name
    return tuple(names.values())


def _split(text: str) -> tuple[str, list[str]]:
    """The name and the arguments of a specification: `sgd:0.1,weight=hinge(2,3)`."""
    match = re.fullmatch(r"\s*([\w-]+)\s*(?::(.*)|\((.*)\))?\s*", text, re.DOTALL)
    if match is None:
        raise ValueError(
            f"Expected a rule as name or name:argument,name=argument, got {text!r}; "
            "`lagrad list rules` shows the names."
        )
    pieces, depth = [""], 0
    for sign in match[2] or match[3] or "":
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += sign
    return match[1], [piece.strip() for piece in pieces if piece.strip()]


def _maker(head: str) -> Callable[..., Any]:
    known = specs.catalogue("rule")
    name = specs.ALIASES.get(head, head)
    if name not in known:
        specs.parse("rule", head)  # raises, saying which names come near
    return known[name]


def _require_places(places: set[str], grid: Grid, rule: str) -> None:
    unknown = sorted(places - set(grid))
    if unknown:
        raise ValueError(
            f"Expected places of {rule!r} among the grid's {', '.join(grid) or 'none'}, got "
            f"{', '.join(unknown)}; add it to the grid."
        )


def _filled(piece: str, values: Mapping[str, float]) -> str:
    return re.sub(r"{(\w+)}", lambda place: f"{values[place[1]]:.12g}", piece)


def _spread(grid: Grid, names: Sequence[str]) -> dict[str, list[float]]:
    """The grid of some hyper-parameters alone, refined to as many combinations as the whole."""
    own = {name: [float(value) for value in grid[name]] for name in names}
    missing = math.prod(len(values) for name, values in grid.items() if name not in own)
    first = next((name for name, values in own.items() if len(values) > 1), None)
    if first is not None:
        own[first] = _refined(own[first], len(own[first]) * missing)
    return own


def _refined(values: list[float], count: int) -> list[float]:
    """So many values that follow the given ones, with the same ends."""
    if count == len(values):
        return values
    at = np.linspace(0, len(values) - 1, count)
    if min(values) > 0:
        between = np.exp(np.interp(at, range(len(values)), np.log(values)))
    else:
        between = np.interp(at, range(len(values)), values)
    return [float(f"{value:.4g}") for value in between]
