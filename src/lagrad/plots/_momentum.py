"""Momentum against training loss and test accuracy, and against the time to a target."""

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from ._style import figure

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
    """Draw the table `times`: updates to the target and final accuracy over the momentum."""
    times, target = tables["times"], tables["report"].target.max()
    most = tables["report"]["update"].max()
    rates = list(times.rate.unique())
    with figure(path, width=10, height=6.4) as drawing:
        upper, lower = drawing.subplots(2, len(rates), squeeze=False, sharex=True, sharey="row")
        for rate, above, below in zip(rates, upper, lower, strict=True):
            for protocol, runs in times[times.rate == rate].groupby("protocol", sort=False):
                by = runs.groupby("momentum")
                means = by.updates_to_target.mean()
                reached = means[means < math.inf]
                spread = by.updates_to_target.agg(["min", "max"]).loc[reached.index]
                places = [f"{momentum:g}" for momentum in means.index]
                xs = [list(means.index).index(momentum) for momentum in reached.index]
                above.errorbar(
                    xs,
                    reached,
                    yerr=[reached - spread["min"], spread["max"] - reached],
                    marker="o",
                    capsize=3,
                    label=protocol,
                )
                below.errorbar(
                    range(len(means)),
                    by.accuracy.mean(),
                    yerr=[
                        by.accuracy.mean() - by.accuracy.min(),
                        by.accuracy.max() - by.accuracy.mean(),
                    ],
                    marker="o",
                    capsize=3,
                )
                below.set_xticks(range(len(means)), places)
            above.set_title(f"{rate} learning rate", loc="left")
            above.set_ylim(0, most)
            below.set_xlabel("momentum")
        upper[0].set_ylabel(f"updates to {target:.0%} training accuracy\n(no point: not reached)")
        lower[0].set_ylabel(f"test accuracy after {most} updates")
        upper[-1].legend(loc="upper center")
        drawing.suptitle(
            "Where the best momentum lies, mean and range over the seeds", x=0.01, ha="left"
        )
    return path
