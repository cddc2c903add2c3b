"""Noised gradients: distances under their bounds, and the errors of quorums."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ._style import COLOURS, figure

_TITLES = {
    "none": "no error",
    "alpha/k": "eps_k = alpha / k",
    "alpha/sqrt(k)": "eps_k = alpha / sqrt(k)",
    "constant": "eps_k constant",
}


def plot_distances(
    tables: Mapping[str, pd.DataFrame], path: Path, *, problem: str, title: str
) -> Path:
    """Draw E‖w_k - w*‖^2 against k under its bound, a panel for each kind of error.

    tables: "distances" of the experiment `bound`. problem: which of its problems. title: what that
    problem is.
    """
    table = tables["distances"]
    table = table[table.problem == problem]
    with figure(path, width=10.5, height=8.0) as drawing:
        panels = drawing.subplots(2, 2, sharex=True, sharey=True).flat
        for axes, (kind, name) in zip(panels, _TITLES.items(), strict=True):
            _draw_kind(axes, table[table.kind == kind])
            axes.set_title(name, loc="left")
            axes.label_outer()
        seeds = table.seeds.iloc[0]
        drawing.suptitle(
            f"SGD with steps 1/(lambda k) on {title}\nmean of {seeds} runs, band: 95 % interval"
        )
        styles = [
            Line2D(
                [],
                [],
                color="grey",
                marker="o",
                markersize=3,
                label="measured, error in the worst direction",
            ),
            Line2D([], [], color="grey", linewidth=0.8, label="measured, in a random direction"),
            Line2D([], [], color="grey", linestyle="--", label="bound, corrected"),
            Line2D([], [], color="black", linestyle=":", label="bound as in the note"),
        ]
        drawing.legend(handles=styles, loc="outside lower center", ncols=4)
    return path


def _draw_kind(axes: Axes, table: pd.DataFrame) -> None:
    name = "eps" if (table.kind == "constant").all() else "alpha"
    for colour, strength in zip(COLOURS, sorted(set(table.strength)), strict=False):
        rows = table[table.strength == strength]
        bounds = rows[rows.adversary == "greedy"]
        # What starts at the minimiser has no logarithm at first.
        worst = bounds[bounds.squared_distance > 0]
        random = rows[(rows.adversary == "random") & (rows.squared_distance > 0)]
        label = f"{name} = {strength:g}" if strength else "eps = 0"
        axes.plot(
            worst.k, worst.squared_distance, "o-", markersize=3, color=colour, label=label, zorder=3
        )
        # A band that reaches 0 has no lower end on this axis.
        low = (worst.squared_distance - worst.half_width).clip(lower=worst.squared_distance / 10)
        axes.fill_between(
            worst.k, low, worst.squared_distance + worst.half_width, color=colour, alpha=0.2
        )
        axes.plot(random.k, random.squared_distance, color=colour, linewidth=0.8)
        axes.plot(bounds.k, bounds.bound, "--", color=colour, linewidth=1.2)
    first = table[(table.adversary == "greedy") & (table.strength == table.strength.min())]
    axes.plot(first.k, first.note, ":", color="black")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("step k")
    axes.set_ylabel("E‖w_k - w*‖²")
    axes.legend(loc="lower left")


def plot_quorum_errors(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the relative error of the first K of 8 gradients while training goes on.

    tables: "quorums" of the experiment `bound`.
    """
    table = tables["quorums"]
    table = table[table.quorum < 8]
    softmax = table[(table.run == "softmax") & (table.quorum == table.driver)]
    panels = {
        "softmax regression, the first K, fresh": softmax[softmax.gradients == "fresh"],
        "softmax regression, K as they come, some stale": softmax[softmax.gradients == "stale"],
        "LeNet, the first K, fresh (steps of K = 4)": table[table.run == "lenet"],
    }
    with figure(path, width=13.5, height=5.0) as drawing:
        for axes, (title, rows) in zip(
            drawing.subplots(1, 3, sharey=True), panels.items(), strict=True
        ):
            _draw_quorums(axes, rows)
            axes.set_title(title, loc="left")
            axes.label_outer()
        axes.set_ylim(table.eps.min() / 1.5, table.eps.max() * 1.5)
        styles = [
            Line2D([], [], color="grey", marker="o", markersize=3, label="measured"),
            Line2D([], [], color="grey", linestyle="--", label="fresh random K of 8: formula"),
            Line2D([], [], color="black", linestyle=":", label="slope of 1/k, as the note needs"),
        ]
        handles, _ = axes.get_legend_handles_labels()
        drawing.legend(handles=[*handles, *styles], loc="outside lower center", ncols=8)
    return path


def _draw_quorums(axes: Axes, table: pd.DataFrame) -> None:
    shown = [quorum for quorum in (1, 2, 4, 6, 7) if (table.quorum == quorum).any()]
    for quorum in shown:
        colour = COLOURS[(1, 2, 4, 6, 7).index(quorum)]
        means = table[table.quorum == quorum].groupby("k")[["eps", "foretold"]].mean()
        axes.plot(
            means.index,
            means.eps,
            "o-",
            markersize=3,
            color=colour,
            label=f"K = {quorum}",
            zorder=3,
        )
        axes.plot(means.index, means.foretold, "--", color=colour, linewidth=1.0)
    k = np.array([table.k.min(), table.k.max()])
    axes.plot(k, table.eps.max() * k[0] / k, ":", color="black")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("step k")
    axes.set_ylabel("‖g_k - grad f_S‖ / ‖grad f_S‖")
