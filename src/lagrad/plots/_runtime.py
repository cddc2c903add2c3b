"""Waiting for K of P workers: time per step, staleness, and error against time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ._style import COLOURS, figure

#: Colour, marker and width of each scheme, so that lines that agree lie visibly on each other.
_SCHEMES = {
    "K-sync": (COLOURS[0], "o", 4.0),
    "K-async": (COLOURS[1], "s", 1.5),
    "K-batch-sync": (COLOURS[2], "^", 4.0),
    "K-batch-async": (COLOURS[3], "D", 1.5),
}
_RACED = {
    "async": (COLOURS[6], "-"),
    "K-batch-async": (COLOURS[3], "-"),
    "K-batch-sync": (COLOURS[2], "--"),
    "K-async": (COLOURS[1], "-"),
    "K-sync": (COLOURS[0], "--"),
    "sync": (COLOURS[4], "-"),
}
_LATE = ", not cancelled"


def plot_runtime_steps(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the time per step against K, formulas as lines, simulation as points.

    tables: "steps" of the experiment `runtime`.
    """
    table = tables["steps"]
    kinds = list(dict.fromkeys(table.times))
    with figure(path, width=12.5, height=5.6) as drawing:
        for axes, times in zip(drawing.subplots(1, len(kinds)), kinds, strict=True):
            for scheme, look in _SCHEMES.items():
                rows = table[table.times == times]
                _formula(axes, rows[rows.scheme == scheme], look)
                _simulated(axes, rows[rows.scheme == scheme], look, filled=True)
                _simulated(axes, rows[rows.scheme == scheme + _LATE], look, filled=False)
            axes.set_yscale("log", base=2)
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_title(f"time of a job: {times}", loc="left")
            axes.set_xlabel("K, gradients in a step")
        drawing.axes[0].set_ylabel("mean time per step (unit: that of the jobs)")
        workers = int(table.quorum.max())
        drawing.suptitle(f"Time per step of {workers} workers: formulas and simulation")
        drawing.legend(handles=_step_legend(), loc="outside lower center", ncols=4)
    return path


def _formula(axes: Axes, rows: pd.DataFrame, look: tuple[str, str, float]) -> None:
    colour, _, width = look
    exact = rows[rows.how.isin(["exact", "numerical"])]
    if len(exact) == len(rows):
        axes.plot(exact.quorum, exact.theory, color=colour, linewidth=width, alpha=0.7)
    bounds = rows[rows.how == "bound"]
    if len(bounds):
        axes.plot(
            bounds.quorum, bounds.theory, color=colour, linewidth=2.0, linestyle="--", zorder=3
        )


def _simulated(
    axes: Axes, rows: pd.DataFrame, look: tuple[str, str, float], *, filled: bool
) -> None:
    colour, marker, _ = look
    axes.errorbar(
        rows.quorum,
        rows.time,
        rows.half_width,
        color=colour,
        marker=marker,
        markersize=5,
        markerfacecolor=colour if filled else "white",
        linestyle="none" if filled else ":",
        linewidth=1,
        zorder=4 if filled else 3,
    )


def _step_legend() -> list[Line2D]:
    def line(label: str, **options: object) -> Line2D:
        return Line2D([], [], label=label, **options)  # type: ignore[arg-type]

    schemes = [
        line(scheme, color=colour, marker=marker, linewidth=width)
        for scheme, (colour, marker, width) in _SCHEMES.items()
    ]
    grey = {"color": "grey"}
    return [
        *schemes,
        line("formula", **grey),
        line("upper bound", **grey, linestyle="--"),
        line("simulation", **grey, marker="o", linestyle="none"),
        line("the same without cancelling jobs", **grey, marker="o", mfc="white", linestyle=":"),
    ]


def plot_runtime_staleness(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the distribution of the staleness, a panel for each scheme.

    tables: "staleness" of the experiment `runtime`.
    """
    table = tables["staleness"]
    panels = list(dict.fromkeys(zip(table.scheme, table.quorum, strict=True)))
    with figure(path, width=12.5, height=4.6) as drawing:
        for axes, (scheme, quorum) in zip(drawing.subplots(1, len(panels)), panels, strict=True):
            rows = table[(table.scheme == scheme) & (table.quorum == quorum)]
            for number, times in enumerate(dict.fromkeys(table.times)):
                rows_of = rows[rows.times == times]
                some = rows_of[rows_of.share > 1e-4]
                axes.plot(
                    some.tau,
                    some.share,
                    marker="os^"[number],
                    markersize=4,
                    linewidth=0.8,
                    label=f"{times}, mean {(rows_of.tau * rows_of.share).sum():.2f}",
                )
                if some.theory.notna().all():
                    axes.plot(
                        some.tau,
                        some.theory,
                        "k--",
                        linewidth=1.5,
                        zorder=4,
                        label="geometric, exact",
                    )
            name = "asynchronous" if quorum == 1 else f"{scheme}, K = {quorum}"
            axes.set_title(name, loc="left")
            axes.set_yscale("log")
            axes.set_ylim(1e-4, 1.0)
            axes.set_xlabel("staleness (versions)")
            axes.legend()
        drawing.axes[0].set_ylabel("share of the gradients")
        drawing.suptitle("Staleness of the gradients of 8 workers, by the time of a job")
    return path


def plot_runtime_tradeoff(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the error against virtual time, a curve for each scheme.

    tables: "tradeoff" and "optimum" of the experiment `runtime`.
    """
    table = tables["tradeoff"]
    gap = table.objective - float(tables["optimum"].optimum.iloc[0])
    grouped = table.assign(gap=gap).groupby(["scheme", "time"]).gap
    middle = grouped.mean()
    error: pd.Series[float] = grouped.std() / np.sqrt(grouped.count())
    with figure(path, width=8.5, height=5.6) as drawing:
        axes = drawing.add_subplot()
        for scheme, (colour, style) in _RACED.items():
            mean, half = middle[scheme], 2 * error[scheme]
            axes.plot(mean.index, mean, color=colour, linestyle=style, label=scheme)
            axes.fill_between(
                mean.index,
                (mean - half).clip(lower=mean / 10),
                mean + half,
                color=colour,
                alpha=0.2,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("virtual time (unit: the mean job)")
        axes.set_ylabel("F(w) - F*")
        seeds = table.groupby("scheme").seed.nunique().min()
        images = int(tables["optimum"].images.iloc[0])
        axes.set_title(
            f"Softmax regression on {images:,} images of MNIST, one image a gradient; "
            "8 workers, jobs exp(1), K = 4.\n"
            f"Mean of {seeds} runs, band: two standard errors",
            loc="left",
        )
        axes.legend(title="scheme")
    return path
