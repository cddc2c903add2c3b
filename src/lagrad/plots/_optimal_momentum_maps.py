"""Maps of the time constant over momentum and learning rate."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm

from ._style import COLOURS, figure, ticks_at


def plot_momentum_maps(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the time constant over momentum and learning rate, a panel per rule and staleness.

    tables: "maps" and, for what is best, "optima" of the experiment `optimal-momentum`.
    """
    rows, optima = tables["maps"], tables["optima"]
    optima = optima[optima.condition == 100.0].set_index(["rule", "staleness"])
    rules, delays = list(dict.fromkeys(rows.rule)), list(dict.fromkeys(rows.staleness))
    finite = rows.time_constant[np.isfinite(rows.time_constant)]
    norm = LogNorm(float(finite.min()), 3e3)
    with figure(path, width=3.2 * len(rules) + 1.2, height=3.4 * len(delays) + 0.6) as drawing:
        panels = drawing.subplots(len(delays), len(rules), squeeze=False, sharex=True, sharey=True)
        for line, delay in zip(panels, delays, strict=True):
            for axes, rule in zip(line, rules, strict=True):
                some = rows[(rows.rule == rule) & (rows.staleness == delay)]
                shown = _map(axes, some, norm)
                _mark(axes, optima.loc[(rule, delay)])
                axes.set_title(f"{rule}, staleness {delay}", loc="left")
        for axes in panels[-1]:
            axes.set_xlabel("learning rate η (1/L)")
        for axes in panels[:, 0]:
            axes.set_ylabel("momentum m (scale: log(1 - m))")
        bar = drawing.colorbar(shown, ax=panels, extend="max")
        bar.set_label("time constant (updates per e-fold of the error)")
        drawing.suptitle("Condition 100; white: unstable; ring: the optimum")
    return path


def _map(axes: Axes, rows: pd.DataFrame, norm: LogNorm) -> QuadMesh:
    grid = rows.pivot(index="momentum", columns="lr", values="time_constant")
    stable = np.where(np.isfinite(grid.values), grid.values, np.nan)
    gaps = 1 - grid.index.to_numpy()
    shown = axes.pcolormesh(
        grid.columns.to_numpy(), gaps, stable, norm=norm, cmap="viridis_r", rasterized=True
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(gaps.max(), gaps.min())
    momenta = (-0.5, 0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
    ticks_at(axes.yaxis, [1 - m for m in momenta], [f"{m:g}" for m in momenta])
    axes.grid(visible=False)
    return shown


def _mark(axes: Axes, best: "pd.Series[float]") -> None:
    # An optimum beyond the momenta that are shown is marked at their end.
    gap = min(1 - best.momentum, axes.get_ylim()[0])
    axes.plot(
        best.lr,
        gap,
        "o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=COLOURS[1],
        markeredgewidth=2,
        clip_on=False,
    )
    where = "m → -1" if best.momentum < -0.99 else f"m = {best.momentum:.2f}"
    axes.annotate(
        f"{best.time_constant:.0f} at {where}",
        (0.03, 0.04),
        xycoords="axes fraction",
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none"},
    )
