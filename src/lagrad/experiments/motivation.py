"""Section 1 of the note: f(x) = x^2 with and without the last gradient, and with constraints."""

import math
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any

import torch

from lagrad.core import Gradient, Layout, Rule
from lagrad.plots import plot_gain, plot_motivation
from lagrad.rules import SGD, DynamicMomentum, Momentum
from lagrad.theory import dated_iterate, plain_iterate, rates
from lagrad.weights import Geometric

from ._experiment import Cell, Experiment, Study, Tables, Verdict
from ._motivation_constraints import CONSTRAINTS

#: Step 1/4 for all. The note's momentum is the last gradient at 1/32 = 1/4 * 1/8; heavy ball has
#: the same momentum coefficient, and its best one.
RULES: dict[str, Rule] = {
    "equation (4), no momentum": SGD(lr=0.25),
    "equation (5), the last gradient": DynamicMomentum(lr=0.25, kernel=Geometric(1 / 8), horizon=1),
    "heavy ball, beta = 1/8": Momentum(lr=0.25, momentum=1 / 8),
    "heavy ball, best beta": Momentum(lr=0.25, momentum=(1 - math.sqrt(0.5)) ** 2),
}
CLOSED = {
    "equation (4), no momentum": plain_iterate,
    "equation (5), the last gradient": dated_iterate,
}
STEPS = 40
POWERS = range(1, 13)
ALPHAS = tuple(2.0**-k for k in range(2, 11))


def iterate_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """One for each rule."""
    del quick, tables
    return [{"rule": name} for name in RULES]


def iterates(rule: str) -> list[dict[str, Any]]:
    """x_t for t = 0..40, by lagrad's own rule, beside the closed form where there is one."""
    closed = CLOSED.get(rule)
    return [
        {"t": t, "x": x, "closed": math.nan if closed is None else closed(t)}
        for t, x in enumerate(islice(_descend(RULES[rule]), STEPS + 1))
    ]


def _descend(rule: Rule) -> Iterator[float]:
    x = torch.tensor([8.0], dtype=torch.float64)
    state = rule.init(x, Layout(("x",), ((1,),), torch.float64))
    for version in count():
        yield x.item()
        gradient = Gradient(worker=0, tau=0, samples=1, values=2 * x)
        rule.apply(x, state, [gradient], version=version)


def accuracy_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """Rule x accuracy eps."""
    del quick, tables
    return [{"rule": name, "power": power} for name in RULES for power in POWERS]


def iterations(rule: str, power: int) -> list[dict[str, Any]]:
    """The first t from which on |x_t| <= eps = 10^-power, and the note's counts."""
    eps = 10.0**-power
    path = islice(_descend(RULES[rule]), 400)
    first = max(t for t, x in enumerate(path) if abs(x) > eps) + 1
    return [
        {
            "iterations": first,
            "note": math.log2(1 / (8 * eps)),
            "log2": math.log2(8 / eps),
            "log4": math.log(1 / eps, 4),
        }
    ]


def gain_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """The steps alpha."""
    del quick, tables
    return [{"alpha": alpha} for alpha in ALPHAS]


def gain(alpha: float) -> list[dict[str, Any]]:
    """Iterations per digit of each method at its best weight, from the long-run factors."""
    return [
        {"method": name, "factor": factor, "per_digit": -1 / math.log10(factor)}
        for name, factor in rates(alpha).items()
    ]


def verdicts(tables: Tables) -> list[Verdict]:
    """What of Section 1 stands."""
    paths, counts = tables["iterates"], tables["iterations"]
    known = paths[paths.closed.notna()]
    exact = bool((known.x == known.closed).all())
    plain, dated, ball, best = (counts[counts.rule == rule] for rule in RULES)
    last = POWERS[-1]
    of_note = (plain.iterations - plain.note).round(6)
    right = plain.iterations == plain.log2.map(math.ceil)
    over = (dated.iterations.to_numpy() - dated.log4.to_numpy()).max()
    gains = tables["gain"].pivot_table(index="alpha", columns="method", values="per_digit")
    gains = gains.sort_index(ascending=False)
    ratio = gains["plain"] / gains["dated"]
    fair = gains["plain, as long a step"] / gains["dated"]
    constraints = tables["constraints"]
    worst = constraints.distance.max()
    return [
        Verdict(
            "Equations (4) and (5) and their closed forms agree.",
            exact,
            f"lagrad's rules give the closed forms {'bit for bit' if exact else 'not exactly'} in "
            f"double precision for t = 0..{STEPS}.",
        ),
        Verdict(
            "Without momentum, log2(1/(8 eps)) iterations reach eps.",
            bool((of_note <= 1).all()),
            f"measured are between {of_note.min():.3g} and {of_note.max():.3g} more; "
            f"x_t = 2^(3-t) <= eps means t >= log2(8/eps), whose next integer is the measured "
            f"number {'in every case' if right.all() else 'not always'}: the 8 belongs above.",
        ),
        Verdict(
            "With the last gradient, O(log4(1/eps)) iterations reach eps.",
            bool(over <= 3 + math.log(2 * last + 2, 4) * 2),
            f"at eps = 1e-{last}: {dated.iterations.iloc[-1]} against {plain.iterations.iloc[-1]} "
            f"without; log4(1/eps) is {dated.log4.iloc[-1]:.1f}. At most {over:.1f} more than "
            "log4(1/eps) in all cases: the factor 2t + 2 adds a term log4(t).",
        ),
        Verdict(
            "Heavy ball with the same coefficient is the same as the note's momentum.",
            bool((ball.iterations.to_numpy() == dated.iterations.to_numpy()).all()),
            f"at eps = 1e-{last} heavy ball with beta = 1/8 takes {ball.iterations.iloc[-1]} "
            f"iterations, with its best beta {best.iterations.iloc[-1]}, the last gradient alone "
            f"{dated.iterations.iloc[-1]}: one remembered gradient and a decaying sum differ.",
        ),
        Verdict(
            "The gain of the momentum grows as the step alpha shrinks.",
            bool((ratio.diff().dropna() > 0).all()),
            f"iterations without over iterations with it: {ratio.iloc[0]:.2g} at alpha = "
            f"{ratio.index[0]:g}, {ratio.iloc[-1]:.3g} at alpha = {ratio.index[-1]:g}. But its "
            f"best weight tends to 1/8, beyond alpha itself: against a plain step of the same "
            f"total length the gain is {fair.iloc[0]:.2g} and {fair.iloc[-1]:.2g}.",
        ),
        Verdict(
            "Projection and multipliers find constrained solutions with late gradients.",
            bool(worst < 1e-6),
            f"largest distance to the solution (with multipliers) {worst:.1e}, mean staleness up "
            f"to {constraints.mean_tau.max():.1f}.",
        ),
    ]


EXPERIMENT = Experiment(
    name="motivation",
    title="f(x) = x^2 with and without momentum, and with constraints (the note's Section 1)",
    studies=(
        Study("iterates", iterate_cells, iterates),
        Study("iterations", accuracy_cells, iterations),
        Study("gain", gain_cells, gain),
        CONSTRAINTS,
    ),
    figures={"motivation": plot_motivation, "gain": plot_gain},
    verdicts=verdicts,
)
