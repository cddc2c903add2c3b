"""The terms of a race: who, on what, for how long; all that can be wrong with them is said here."""

import math
import shlex
from collections import Counter
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from lagrad import specs
from lagrad.runtimes import Target, Until

from ._race_entrants import Entrant, Grid, enter, every_rule

#: Seeds of the tuning start here, far from those of the report, which start at 0.
FIRST_TUNING_SEED = 1000
#: Into how many intervals evaluations divide the budget.
_EVALUATIONS = 200


@dataclass(frozen=True, kw_only=True)
class Race:
    """A race between rules under policies, with equal means for everyone.

    task: a specification or `module:name`. rules, policies: every rule races under every policy; a
    rule leaves out what the grid tunes, see `enter`. entrants: further pairs, "RULE @ POLICY".
    delays: models of job times, a panel for each. workers: how many. target: the score whose time
    is measured. budget: seconds that a run may take on its clock, > 0. grid: of each
    hyper-parameter, the values to try. tuning_seeds, report_seeds: how many, >= 1 and >= 2; no
    seed is in both. ema: decay of averaged weights, None for none. evaluate_every: seconds, None:
    200 times in the budget. runtime: "simulator", in virtual time, or "local", in real time.
    Raises: ValueError for unknown names, an argument of the grid that nobody has, entrants that
    are the same, numbers out of range.

    >>> race = Race(rules=("sgd", "momentum"), grid={"lr": (0.1, 0.2), "momentum": (0.5, 0.9)})
    >>> [len(entrant.trials) for entrant in race.field]
    [4, 4]
    """

    task: str = "quadratic:condition=50,noise=0.01"
    rules: tuple[str, ...] = (
        "sgd",
        "momentum",
        "spike-compensation",
        "dana-zero",
        "ormo",
        "roll-forward",
    )
    policies: tuple[str, ...] = ("asynchronous",)
    entrants: tuple[str, ...] = ()
    delays: tuple[str, ...] = ("gamma", "stragglers")
    workers: int = 8
    target: str = "loss<=1e-3"
    budget: float = 200.0
    grid: Grid = field(
        default_factory=lambda: {
            "lr": (0.003, 0.01, 0.03, 0.1, 0.3),
            "momentum": (0.6, 0.8, 0.9, 0.97),
        }
    )
    tuning_seeds: int = 2
    report_seeds: int = 5
    ema: float | None = None
    evaluate_every: float | None = None
    runtime: Literal["simulator", "local"] = "simulator"

    def __post_init__(self) -> None:
        if self.tuning_seeds < 1 or not 2 <= self.report_seeds <= FIRST_TUNING_SEED:
            raise ValueError(
                f"Expected tuning_seeds >= 1 and report_seeds from 2 to {FIRST_TUNING_SEED}, got "
                f"{self.tuning_seeds} and {self.report_seeds}; an interval needs two runs."
            )
        if self.runtime not in ("simulator", "local"):
            raise ValueError(
                f"Expected runtime simulator or local, got {self.runtime!r}; take one of them."
            )
        Until(seconds=self.budget, target=self.target)
        self._require_grid()
        for text in self.delays:
            specs.parse("delays", text)
        if not self.delays or len(set(self.delays)) < len(self.delays):
            raise ValueError(
                f"Expected delay models that differ, got {', '.join(self.delays) or 'none'}; "
                "name each once."
            )
        self._require_field()

    def _require_grid(self) -> None:
        for name, values in self.grid.items():
            finite = all(math.isfinite(value) for value in values)
            if not values or not finite or list(values) != sorted(set(values)):
                raise ValueError(
                    f"Expected the grid's values of {name} in rising order, got "
                    f"{', '.join(map(str, values)) or 'none'}; give each once, smallest first."
                )

    def _require_field(self) -> None:
        if not self.field:
            raise ValueError("Expected at least one entrant, got none; name a rule.")
        same: dict[str, list[str]] = {}
        for entrant in self.field:
            made = [specs.parse("rule", trial.rule) for trial in entrant.trials]
            policy = specs.parse("policy", entrant.policy)
            policy.require_workers(self.workers)
            same.setdefault(repr((made, policy)), []).append(entrant.name)
        for names in same.values():
            if len(names) > 1:
                raise ValueError(
                    f"Expected entrants that differ, got {' and '.join(names)}, which are the "
                    "same; leave one out."
                )
        unused = [name for name in self.grid if all(name not in each.grid for each in self.field)]
        if unused:
            raise ValueError(
                f"Expected a grid of arguments that a rule leaves open, got {', '.join(unused)}, "
                f"which none of {', '.join(each.name for each in self.field)} does; "
                "leave it out, or write its place, as in dynamic:kernel=geometric:{momentum}."
            )

    @cached_property
    def field(self) -> tuple[Entrant, ...]:
        """All entrants with their trials."""
        pairs = [(rule, policy) for rule in self.rules for policy in self.policies]
        for text in self.entrants:
            rule, at, policy = text.partition("@")
            if not (at and rule.strip() and policy.strip()):
                raise ValueError(
                    f"Expected an entrant as 'RULE @ POLICY', got {text!r}; "
                    "for instance 'sgd @ synchronous'."
                )
            pairs.append((rule.strip(), policy.strip()))
        alike = Counter(rule for rule, _ in pairs)
        several = len({policy for _, policy in pairs}) > 1 or max(alike.values(), default=1) > 1
        return tuple(
            enter(
                rule,
                policy,
                grid=self.grid,
                workers=self.workers,
                name=f"{rule} @ {policy}" if several else rule,
            )
            for rule, policy in pairs
        )

    @property
    def goal(self) -> Target:
        """The target in its parsed form."""
        return Target.parse(self.target)

    @property
    def every(self) -> float:
        """Seconds between evaluations."""
        return self.evaluate_every or self.budget / _EVALUATIONS

    @property
    def command(self) -> str:
        """The command line of this race."""
        words = ["lagrad", "race", "--task", self.task]
        for option, texts in (
            ("--rule", self.rules),
            ("--policy", self.policies if self.rules else ()),
            ("--entrant", self.entrants),
            ("--delays", self.delays),
            ("--grid", [f"{k}={','.join(f'{v:.12g}' for v in vs)}" for k, vs in self.grid.items()]),
        ):
            words += [word for text in texts for word in (option, text)]
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name not in _LISTED and value is not None:
                words += [f"--{each.name.replace('_', '-')}", str(value)]
        return shlex.join(words)


_LISTED = {"task", "rules", "policies", "entrants", "delays", "grid"}


def quick_race(**given: Any) -> Race:
    """A race of a minute or two, between all rules of the catalogue that stand for themselves.

    given: arguments of `Race` that replace those of the preset.
    """
    workers = given.get("workers", 4)
    preset = {
        "task": "quadratic:condition=20,dimension=10,noise=0.01",
        "rules": every_rule(workers),
        "workers": workers,
        "budget": 120.0,
        "grid": {"lr": (0.02, 0.07, 0.25, 0.9), "momentum": (0.3, 0.6, 0.9)},
        "tuning_seeds": 1,
    }
    return Race(**{**preset, **given})
