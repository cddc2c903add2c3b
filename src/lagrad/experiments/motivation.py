"""Section 1 of the note: f(x) = x^2 with and without the last gradient, and with constraints."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lagrad import train
from lagrad.core import Gradient, Layout, Rule
from lagrad.delays import Gamma
from lagrad.plots import plot_gain, plot_motivation
from lagrad.policies import Asynchronous
from lagrad.rules import SGD, DynamicMomentum, Momentum, Projected
from lagrad.runtimes import Result, Simulator, Until
from lagrad.sets import Box
from lagrad.tasks import Stream, constrained, parabola
from lagrad.theory import dated_iterate, plain_iterate, rates
from lagrad.weights import Geometric

from ._experiment import Cell, Experiment, Study, Tables, Verdict

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
WORKERS = (1, 4, 8)


def iterate_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """One for each rule."""
    del quick, tables
    return [{"rule": name} for name in RULES]


def iterates(rule: str) -> list[dict[str, Any]]:
    """x_t for t = 0..40, by lagrad's own rule, beside the closed form where there is one."""
    closed = CLOSED.get(rule)
    rows = []
    for t, x in zip(range(STEPS + 1), _descend(RULES[rule]), strict=False):
        rows.append({"t": t, "x": x, "closed": math.nan if closed is None else closed(t)})
    return rows


def _descend(rule: Rule) -> Iterator[float]:
    x = torch.tensor([8.0], dtype=torch.float64)
    state = rule.init(x, Layout(("x",), ((1,),), torch.float64))
    version = 0
    while True:
        yield x.item()
        gradient = Gradient(worker=0, tau=0, samples=1, values=2 * x)
        rule.apply(x, state, [gradient], version=version)
        version += 1


def accuracy_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """Rule x accuracy eps."""
    del quick, tables
    return [{"rule": name, "power": power} for name in RULES for power in POWERS]


def iterations(rule: str, power: int) -> list[dict[str, Any]]:
    """The first t from which on |x_t| <= eps = 10^-power, and the note's counts."""
    eps = 10.0**-power
    path = [x for x, _ in zip(_descend(RULES[rule]), range(400), strict=False)]
    count = max(t for t, x in enumerate(path) if abs(x) > eps) + 1
    return [
        {
            "iterations": count,
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


def constraint_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """Problem x workers; with several their gradients come late."""
    del quick, tables
    return [
        {"problem": problem, "workers": workers}
        for problem in ("projection", "multipliers")
        for workers in WORKERS
    ]


def solve(problem: str, workers: int) -> list[dict[str, Any]]:
    """Distance to the solution and violation after 4000 asynchronous updates."""
    if problem == "projection":
        # min x^2 subject to x >= 1: x = 1.
        result = _solve(parabola(), Projected(SGD(lr=0.02), onto=Box(1.0, math.inf)), workers)
        x = result.state_dict["x"]
        distance, violation = (x - 1).abs().max().item(), max(0.0, 1 - x.item())
    else:
        # min (x-2)^2 + (y-1)^2, x^2 <= y, x + y = 2: (1, 1) with both multipliers 2/3.
        task = constrained(
            name="parabola and line",
            model=_Plane,
            objective=_objective,
            data=_nothing,
            inequalities=_above_the_parabola,
            equalities=_on_the_line,
        )
        result = _solve(task, SGD(lr=0.02), workers)
        multipliers = [result.state_dict[name] - 2 / 3 for name in ("inequality", "equality")]
        off = torch.cat([result.state_dict["model.x"] - 1, *multipliers])
        distance, violation = off.abs().max().item(), result.scores.get("violation", math.inf)
    return [{"distance": distance, "violation": violation, "mean_tau": result.mean_staleness}]


def _solve(task: Any, rule: Rule, workers: int) -> Result:
    return train(
        task,
        rule=rule,
        policy=Asynchronous(),
        runtime=Simulator(),
        delays=Gamma(),
        workers=workers,
        until=Until(updates=4000),
        evaluate_every=1e6,
    )


class _Plane(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(2, dtype=torch.float64))


def _nothing() -> Stream:
    return Stream(_draw_nothing)


def _draw_nothing(generator: torch.Generator) -> None:
    del generator


def _objective(plane: _Plane, batch: None) -> Tensor:
    del batch
    return (plane.x - plane.x.new_tensor([2.0, 1.0])).square().sum()


def _above_the_parabola(plane: _Plane) -> Tensor:
    return (plane.x[0] ** 2 - plane.x[1]).reshape(1)


def _on_the_line(plane: _Plane) -> Tensor:
    return (plane.x.sum() - 2).reshape(1)


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
        Study("constraints", constraint_cells, solve),
    ),
    figures={"motivation": plot_motivation, "gain": plot_gain},
    verdicts=verdicts,
)
