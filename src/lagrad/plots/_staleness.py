"""Time to a target over the quorum, a panel for each straggler model."""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ._style import figure, plain_logarithmic


def plot_staleness(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the table `report`: means and ranges over the seeds; returns `path`."""
    report = tables["report"]
    models = list(report.delays.unique())
    target, everyone = report.target.max(), int(report.quorum.max())
    with figure(path, width=4.1 * len(models) + 1.4, height=4.8) as drawing:
        panels = drawing.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axes, model in zip(panels, models, strict=True):
            rows = report[report.delays == model]
            reference = rows[rows.late == "none"]
            for late, some in rows[rows.late != "none"].groupby("late", sort=False):
                # With a quorum of all nothing is late: the curves end in the same point.
                by = pd.concat([some, reference]).groupby("quorum").time_to_target
                # A gap where a seed did not get there.
                mean, high = (a.where(a < math.inf) for a in (by.mean(), by.max()))
                (line,) = axes.plot(mean.index, mean, marker="o", label=f"late ones {late}")
                axes.fill_between(
                    mean.index, by.min(), high, color=line.get_color(), alpha=0.18, linewidth=0
                )
            level = reference.time_to_target.mean()
            if level < math.inf:
                axes.axhline(level, color="black", linestyle="--", linewidth=1, label="synchronous")
            axes.set_yscale("log")
            plain_logarithmic(axes.yaxis)
            axes.set_title(model, loc="left")
            axes.set_xlabel(f"quorum (gradients of {everyone} workers that make a step)")
            axes.set_xticks(range(1, everyone + 1))
        panels[0].set_ylabel(f"time to {target:.0%} test accuracy\n(mean jobs of a healthy worker)")
        panels[-1].legend(loc="best")
        seeds = report.seed.nunique()
        drawing.suptitle(
            "LeNet on MNIST, heavy ball: how many to wait for. "
            f"Mean and range of {seeds} seeds; no point: not reached by all",
            x=0.01,
            ha="left",
        )
    return path
