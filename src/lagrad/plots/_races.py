"""Races: the time to a target of every entrant, and how far each is from the fastest."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy import stats

from ._style import COLOURS, figure, plain_logarithmic

#: Panels side by side.
_ACROSS = 3
#: More entrants than this have no colours of their own in the profile.
_COLOURED = 6
#: Curves that agree shall not hide each other.
_STYLES = ("-", (0, (4, 2)))


def plot_race_times(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the table `report`, a panel for each delay model, a line for each entrant.

    Dots are runs; a cross at the budget stands for those that did not arrive. The bar is the 95 %
    interval of the mean, which counts the budget for such runs.
    """
    report = _timed(tables)
    order = list(report.groupby("entrant").seconds.mean().sort_values().index)
    panels = list(report.groupby("delays", sort=False))
    unit = "virtual time" if (report.runtime == "simulator").all() else "seconds"
    across = min(_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    height = 1.0 + down * (0.9 + 0.26 * len(order))
    with figure(path, width=2.6 + 3.6 * across, height=height) as drawing:
        grid = drawing.subplots(down, across, sharey=True, squeeze=False)
        for unused in grid.flat[len(panels) :]:
            unused.set_visible(False)
        for axes, (delays, rows) in zip(grid.flat, panels, strict=False):
            budget = float(rows.budget.max())
            axes.set_xlim(float(report.seconds.min()) / 1.25, budget * 2.6)
            axes.set_xscale("log")
            for place, name in enumerate(order):
                _draw_entrant(axes, rows[rows.entrant == name], place)
            axes.axvline(budget, color="black", linewidth=0.8, linestyle="--", zorder=1)
            plain_logarithmic(axes.xaxis)
            axes.set_title(str(delays), loc="left")
        grid[0, 0].set_yticks(range(len(order)), [_label(name) for name in order])
        grid[0, 0].set_ylim(len(order) - 0.5, -0.5)
        handles = [
            _key("a run", marker="o", color=COLOURS[0], markersize=3.5),
            _key("mean, 95 % interval", marker="|", markersize=9, linestyle="-"),
            _key("not reached within the budget: how many", marker="x", color=COLOURS[1]),
            _key("budget", linestyle="--", linewidth=0.8),
        ]
        drawing.legend(handles=handles, loc="outside lower center", ncols=4)
        seeds = report.groupby(["delays", "entrant"]).seed.nunique().min()
        drawing.suptitle(
            f"{unit} to {report.target.iloc[0]}: {report.task.iloc[0]}, "
            f"{report.workers.iloc[0]} workers, {seeds} seeds each",
            x=0.01,
            ha="left",
        )
    return path


def _label(name: str) -> str:
    """An entrant without the places of what is tuned: "ormo(workers=8) @ asynchronous".

    >>> _label("clipped:rule=ormo(lr={lr},workers=8) @ asynchronous")
    'clipped ormo(workers=8)'
    >>> _label("momentum(lr={lr},momentum={momentum}) @ synchronous")
    'momentum @ synchronous'
    """
    without = re.sub(r"\w+=\{\w+\},?|,\w+=\{\w+\}", "", name).replace(",)", ")").replace("()", "")
    return without.replace("clipped:rule=", "clipped ").removesuffix(" @ asynchronous")


def _timed(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    report = tables["report"]
    return report.assign(seconds=report[["time_to_target", "budget"]].min(axis=1))


def _key(label: str, **style: Any) -> Line2D:
    return Line2D([], [], label=label, **{"color": "black", "linestyle": "", **style})


def _draw_entrant(axes: Axes, rows: pd.DataFrame, place: int) -> None:
    there = rows[rows.time_to_target < math.inf]
    budget = float(rows.budget.max())
    # Beside the line, which would hide them.
    beside = [place - 0.22] * len(there)
    axes.plot(there.seconds, beside, "o", color=COLOURS[0], markersize=3.5, alpha=0.6)
    missing = len(rows) - len(there)
    if missing:
        axes.plot([budget], [place], "x", color=COLOURS[1], zorder=4)
        diverged = int((rows.stopped == "diverged").sum())
        axes.annotate(
            f"{missing}/{len(rows)}" + (f", {diverged} diverged" if diverged else ""),
            (budget, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=COLOURS[1],
        )
    if len(there):
        seconds = rows.seconds.to_numpy(dtype=float)
        mean, error = float(seconds.mean()), float(stats.sem(seconds))
        half = float(stats.t.ppf(0.975, len(seconds) - 1)) * error
        # No mean of such times is above the budget; the axis has no room for what is below 0.
        ends = max(mean - half, float(seconds.min()) / 2), min(mean + half, budget)
        axes.plot(ends, [place, place], color="black", linewidth=1.6, zorder=3)
        axes.plot([mean], [place], "|", color="black", markersize=9, zorder=3)


def plot_race_profile(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the performance profile of the table `report` (Dolan, More 2002).

        rho(f) = share of the problems that an entrant solves within f times the fastest one's time

    A problem is a delay model with a seed; one that nobody solves counts for everyone.
    """
    report = tables["report"]
    times = report.pivot(index=["delays", "seed"], columns="entrant", values="time_to_target")
    best = times.min(axis=1)
    ratios = times.div(best.where(best < math.inf), axis=0).fillna(math.inf)
    finite = ratios.to_numpy()[np.isfinite(ratios.to_numpy())]
    longest = max(2.0, 1.1 * float(finite.max())) if len(finite) else 2.0
    # Which entrants stand out: by the area under their curves, on the axis that is drawn.
    area = (math.log(longest) - np.log(ratios.clip(upper=longest))).mean()
    order = list(area.sort_values(ascending=False, kind="stable").index)
    with figure(path, width=8.5, height=5.2) as drawing:
        axes = drawing.add_subplot()
        for place, name in enumerate(order):
            steps = np.sort(ratios[name].to_numpy())
            steps = steps[np.isfinite(steps)]
            share = np.arange(1, len(steps) + 1) / len(ratios)
            style: dict[str, Any] = (
                {"color": COLOURS[place], "linestyle": _STYLES[place % 2], "label": _label(name)}
                if place < _COLOURED
                else {"color": "0.75", "linewidth": 0.8}
            )
            axes.step(
                [1.0, *steps, longest],
                [0.0, *share, share[-1] if len(share) else 0.0],
                where="post",
                zorder=3 + place if place < _COLOURED else 2,
                **style,
            )
        if len(order) > _COLOURED:
            axes.plot([], [], color="0.75", label=f"{len(order) - _COLOURED} others")
        axes.set_xscale("log")
        plain_logarithmic(axes.xaxis)
        axes.set_xlim(1.0, longest)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("factor f of the fastest entrant's time")
        axes.set_ylabel("share of problems solved within f")
        models = report.delays.nunique()
        axes.set_title(
            f"{len(ratios)} problems: {models} delay models, {len(ratios) // models} seeds each",
            loc="left",
        )
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return path
