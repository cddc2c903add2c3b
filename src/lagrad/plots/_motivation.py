"""The note's parabola: iterates, iterations to an accuracy, and the gain of momentum."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ._style import figure


def plot_motivation(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the tables `iterates` and `iterations`; returns `path`."""
    with figure(path, width=11, height=4.6) as drawing:
        left, right = drawing.subplots(1, 2)
        for rule, rows in tables["iterates"].groupby("rule", sort=False):
            shown = rows[rows.x != 0]
            left.plot(shown.t, shown.x.abs(), marker=".", label=rule)
        left.set_yscale("log")
        left.set_xlabel("iteration t")
        left.set_ylabel("|x_t|")
        left.set_title("f(x) = x², x_0 = 8, step 1/4", loc="left")
        left.legend()
        table = tables["iterations"]
        for rule, rows in table.groupby("rule", sort=False):
            right.plot(rows.power, rows.iterations, marker="o", label=rule)
        counts = table.drop_duplicates("power")
        right.plot(counts.power, counts.log2, color="black", linestyle=":", label="log2(8/eps)")
        right.plot(counts.power, counts.log4, color="black", linestyle="--", label="log4(1/eps)")
        right.set_xlabel("accuracy eps = 10^-k:  k")
        right.set_ylabel("iterations until |x_t| <= eps")
        right.set_title("iterations to an accuracy", loc="left")
        right.legend(fontsize=8)
    return path


def plot_gain(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the table `gain`: iterations per decimal digit over the step; returns `path`."""
    with figure(path, width=7.5, height=4.8) as drawing:
        axes = drawing.add_subplot()
        for method, rows in tables["gain"].groupby("method", sort=False):
            axes.plot(rows.alpha, rows.per_digit, marker="o", label=method)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.invert_xaxis()
        axes.set_xlabel("step alpha (smaller to the right)")
        axes.set_ylabel("iterations per decimal digit")
        axes.set_title("f(x) = x²: every method at its best momentum", loc="left")
        axes.legend()
    return path
