"""Momentum against training loss and test accuracy, and against the time to a target."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from ._style import COLOURS, figure

_MOST_LOSS = 3.0


def plot_momentum_curves(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the table `report`: a row for each protocol and rate, a curve for each momentum."""
    report = tables["report"]
    groups = list(report.groupby(["protocol", "rate"], sort=False))
    momenta = sorted(report.momentum.unique())
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.92, len(momenta)))
    with figure(path, width=10, height=2.9 * len(groups) + 0.5) as drawing:
        rows = drawing.subplots(len(groups), 2, squeeze=False, sharex=True)
        for ((protocol, rate), runs), (losses, scores) in zip(groups, rows, strict=True):
            for momentum, colour in zip(momenta, colours, strict=True):
                some = runs[runs.momentum == momentum]
                mean = some.groupby("update")[["train_loss", "accuracy"]].mean()
                label = f"{momentum:g}, lr {some.lr.iloc[0]:g}"
                losses.plot(mean.index, mean.train_loss, color=colour, label=label)
                scores.plot(mean.index, mean.accuracy, color=colour)
            losses.set_yscale("log")
            losses.set_ylim(top=_MOST_LOSS)
            losses.set_ylabel("training loss")
            scores.set_ylabel("test accuracy")
            scores.set_ylim(max(0.0, scores.get_ylim()[0]), 1.0)
            losses.set_title(f"{protocol}, {rate} learning rate", loc="left")
            scores.legend(
                *losses.get_legend_handles_labels(), title="momentum", loc="lower right", fontsize=8
            )
        for axes in rows[-1]:
            axes.set_xlabel("updates")
        seeds = report.seed.nunique()
        drawing.suptitle(
            f"LeNet on MNIST, batch 256: momentum, means of {seeds} seeds", x=0.01, ha="left"
        )
    return path


def plot_momentum_times(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the table `times`: time to the target, last loss and accuracy over the momentum."""
    times, target = tables["times"], tables["report"].target.max()
    most = tables["report"]["update"].max()
    rates = list(times.rate.unique())
    measures = {
        "updates_to_target": f"updates to {target:.0%}\ntraining accuracy (x: not reached)",
        "train_loss": f"training loss after {most}\nupdates (x: diverged)",
        "accuracy": f"test accuracy after {most}\nupdates (x: diverged)",
    }
    with figure(path, width=10, height=8) as drawing:
        rows = drawing.subplots(3, len(rates), squeeze=False, sharex=True, sharey="row")
        for (measure, label), row in zip(measures.items(), rows, strict=True):
            row[0].set_ylabel(label)
            for rate, axes in zip(rates, row, strict=True):
                _draw_seeds(axes, times[times.rate == rate], measure)
        for axes in rows[0]:
            axes.set_ylim(0, most)
        for axes in rows[1]:
            axes.set_yscale("log")
        for axes, rate in zip(rows[0], rates, strict=True):
            axes.set_title(f"{rate} learning rate", loc="left")
        for axes in rows[-1]:
            axes.set_xlabel("momentum")
        rows[0, 0].legend(loc="lower left")
        drawing.suptitle(
            "Where the best momentum lies: every seed, and the mean where none fails",
            x=0.01,
            ha="left",
        )
    return path


def _draw_seeds(axes: Any, times: pd.DataFrame, measure: str) -> None:
    """A dot for each run and a line through the means; a cross at the edge for a run that fails."""
    momenta = sorted(times.momentum.unique())
    edge = 0.03 if measure == "accuracy" else 0.97
    for number, (protocol, runs) in enumerate(times.groupby("protocol", sort=False)):
        shift, colour = 0.12 * (2 * number - 1), COLOURS[number]
        places = runs.momentum.map(momenta.index) + shift
        failed = (
            runs.updates_to_target if measure == "updates_to_target" else runs.train_loss
        ) == (math.inf)
        axes.plot(places[~failed], runs[measure][~failed], "o", color=colour, ms=4, alpha=0.7)
        at_the_edge = axes.get_xaxis_transform()
        crosses = np.full(int(failed.sum()), edge)
        axes.plot(places[failed], crosses, "x", color=colour, ms=6, transform=at_the_edge)
        means = (
            runs[measure]
            .where(~failed)
            .groupby(runs.momentum)
            .agg(lambda of: of.mean(skipna=False))
        )
        axes.plot([*np.arange(len(momenta)) + shift], means, "-", color=colour, label=protocol)
    axes.set_xticks(range(len(momenta)), [f"{momentum:g}" for momentum in momenta])
