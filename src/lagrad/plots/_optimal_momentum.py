"""The best momentum under staleness: limits, optima, and prediction against simulation."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ._style import COLOURS, figure, ticks_at

#: Colour, line and marker: full lines for rules that bring the square root back.
_LOOKS = {
    "sgd": (COLOURS[6], ":", "o"),
    "heavy-ball": (COLOURS[1], ":", "s"),
    "nesterov": (COLOURS[4], ":", "^"),
    "multi-asgd": (COLOURS[3], ":", "D"),
    "lwp": (COLOURS[0], "--", "v"),
    "spike-compensation": (COLOURS[2], "--", "P"),
    "dm0": (COLOURS[5], "--", "X"),
    "dana": (COLOURS[3], "-", "D"),
    "smega2": (COLOURS[4], "-", "^"),
    "ormo": (COLOURS[2], "-", "P"),
    "lwp+sc": (COLOURS[0], "-", "v"),
    "roll-forward": (COLOURS[1], "-", "s"),
}
#: Ticks of axes that span few factors of ten.
_ROUND = (2, 5, 10, 20, 50, 100, 200, 500, 1000)


def plot_momentum_stability(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the limits of heavy ball over the staleness, and those of random staleness.

    tables: "limits" and "random" of the experiment `optimal-momentum`.
    """
    with figure(path, width=11.5, height=4.8) as drawing:
        left, right = drawing.subplots(1, 2)
        rows = tables["limits"]
        rows = rows[(rows.rule == "heavy-ball") & (rows.momentum >= 0)]
        for colour, (momentum, some) in zip(COLOURS, rows.groupby("momentum"), strict=False):
            left.plot(
                some.staleness,
                some.limit_per_displacement,
                marker="o",
                markersize=4,
                color=colour,
                label=f"m = {momentum:g}",
            )
        left.set_xscale("symlog", base=2, linthresh=1)
        left.set_yscale("log")
        ticks_at(left.xaxis, sorted(rows.staleness.unique()))
        left.set_xlabel("staleness D (updates)")
        left.set_ylabel("limit of η λ / (1 - m)")
        left.set_title("Heavy ball, constant staleness: stable below", loc="left")
        left.legend()
        _random_limits(right, tables["random"])
    return path


def _random_limits(axes: Axes, rows: pd.DataFrame) -> None:
    for column, label, colour in (
        ("mean_limit", "the mean of all runs, random staleness", COLOURS[4]),
        ("almost_sure_limit", "almost every run, random staleness", COLOURS[0]),
        ("constant_limit", "constant staleness M - 1", COLOURS[1]),
    ):
        axes.plot(rows.workers, rows[column], marker="o", color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks_at(axes.xaxis, rows.workers)
    axes.set_ylim(top=float(rows.mean_limit.max()) * 8)
    axes.set_xlabel("workers M, mean staleness M - 1")
    axes.set_ylabel("limit of η λ")
    axes.set_title("Asynchronous SGD with exponential workers: stable below", loc="left")
    axes.legend(loc="upper left")


def plot_momentum_optima(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw optimal momentum and time constant over staleness and condition, for every rule.

    tables: "optima" of the experiment `optimal-momentum`.
    """
    rows = tables["optima"]
    with figure(path, width=13.0, height=6.0) as drawing:
        momentum, over_delay, over_condition = drawing.subplots(1, 3)
        at_hundred = rows[rows.condition == 100.0]
        delays = sorted(rows.staleness.unique())
        late = rows[rows.staleness == delays[-1]]
        for rule, (colour, line, marker) in _LOOKS.items():
            look = {"color": colour, "linestyle": line, "marker": marker, "markersize": 5}
            some = at_hundred[at_hundred.rule == rule]
            if rule != "sgd":
                momentum.plot(some.staleness + 1, some.momentum.map(_spread), **look)
            over_delay.plot(some.staleness + 1, some.time_constant, label=rule, **look)
            some = late[late.rule == rule]
            over_condition.plot(some.condition, some.time_constant, **look)
        ticks = (-0.9, -0.5, 0.0, 0.5, 0.9, 0.95, 0.98, 0.99)
        labels = ["→ -1", *[f"{tick:g}" for tick in ticks]]
        ticks_at(momentum.yaxis, map(_spread, (-1.0, *ticks)), labels)
        momentum.set_ylabel("best momentum m (scale: atanh m)")
        momentum.set_title("Condition 100", loc="left")
        over_delay.set_yscale("log")
        over_delay.set_ylabel("time constant (updates per e-fold of the error)")
        over_delay.set_title("Condition 100, at the optimum", loc="left")
        for axes in (momentum, over_delay):
            axes.set_xscale("log", base=2)
            ticks_at(axes.xaxis, [delay + 1 for delay in delays], [str(delay) for delay in delays])
            axes.set_xlabel("staleness D (updates)")
        over_condition.set_title(f"Staleness {delays[-1]}, at the optimum", loc="left")
        _slopes(over_condition, late)
        drawing.legend(loc="outside lower center", ncols=6)
    return path


def _slopes(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    conditions = np.array(sorted(rows.condition.unique()))
    first = rows[rows.condition == conditions[0]].set_index("rule").time_constant
    for power, start, label in (
        (1.0, 1.6 * first["sgd"], "∝ condition"),
        (0.5, 0.7 * first["roll-forward"], "∝ √condition"),
    ):
        line = start * (conditions / conditions[0]) ** power
        axes.plot(conditions, line, color="0.6", linewidth=3, alpha=0.6, zorder=1)
        axes.annotate(
            label,
            (conditions[-1], line[-1]),
            xytext=(-4, 4 if power == 1.0 else -42),
            textcoords="offset points",
            ha="right",
            color="0.35",
        )
    axes.set_xlabel("condition number")
    axes.set_ylabel("time constant (updates per e-fold of the error)")


def _spread(momentum: float) -> float:
    return float(np.arctanh(max(-0.995, momentum)))


def plot_momentum_simulated(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw measured against predicted time constants, and by how much they differ.

    tables: "simulated" of the experiment `optimal-momentum`.
    """
    rows = tables["simulated"]
    with figure(path, width=11.5, height=4.8) as drawing:
        left, right = drawing.subplots(1, 2)
        ends = [float(rows.predicted.min()) * 0.8, float(rows.predicted.max()) * 1.25]
        left.plot(ends, ends, color="0.6", linewidth=1, label="measured = predicted")
        for rule, some in rows.groupby("rule", sort=False):
            colour, line, marker = _LOOKS[str(rule)]
            # Rules of one colour and marker differ by their lines, and here by their filling.
            filling = colour if line == "-" else "white"
            look = {"color": colour, "marker": marker, "linestyle": "none"}
            look["markerfacecolor"] = filling
            left.plot(some.predicted, some.measured, label=str(rule), **look)
            right.plot(some.predicted, 100 * (some.ratio - 1), **look)
        left.set_yscale("log")
        ticks_at(left.yaxis, [n for n in _ROUND if ends[0] <= n <= ends[1]])
        left.set_ylabel("measured time constant (updates)")
        left.set_title("Runs on the simulator, workers in turn", loc="left")
        left.legend()
        right.axhline(0.0, color="0.6", linewidth=1)
        for bound in (-2.0, 2.0):
            right.axhline(bound, color="0.6", linewidth=1, linestyle="--")
        right.annotate("2 %", (ends[0], 2.0), xytext=(0, 3), textcoords="offset points")
        right.set_ylim(-2.6, 2.6)
        right.set_ylabel("measured - predicted (% of predicted)")
        right.set_title("The same, as a difference", loc="left")
        for axes in (left, right):
            axes.set_xscale("log")
            ticks_at(axes.xaxis, [n for n in _ROUND if ends[0] <= n <= ends[1]])
            axes.set_xlabel("predicted time constant (updates per e-fold of the error)")
    return path
