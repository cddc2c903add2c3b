"""Accuracy against the learning rate, a curve for each constant delay."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ._style import figure


def plot_jain(tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Draw the table `accuracy`, a panel for each batch size; returns `path`."""
    table = tables["accuracy"]
    batches = sorted(table.batch_size.unique())
    with figure(path, width=5.2 * len(batches) + 0.6, height=4.4) as drawing:
        panels = drawing.subplots(1, len(batches), sharey=True, squeeze=False)[0]
        for axes, batch in zip(panels, batches, strict=True):
            for place, (delay, rows) in enumerate(
                table[table.batch_size == batch].groupby("delay")
            ):
                # Curves that agree would hide each other.
                beside = rows.lr * 1.04**place
                (line,) = axes.plot(beside, rows.accuracy, marker="o", label=f"{delay} updates")
                axes.plot(
                    beside,
                    rows.published,
                    marker="x",
                    linestyle=":",
                    color=line.get_color(),
                    alpha=0.6,
                )
            axes.plot([], [], marker="x", linestyle=":", color="0.4", label="published, 30 epochs")
            axes.set_xscale("log")
            axes.set_xlabel("learning rate")
            axes.set_title(f"batch {batch}", loc="left")
        panels[0].set_ylabel("test accuracy (0: not finite)")
        panels[-1].legend(title="constant delay", loc="lower left")
        epochs = table.epochs.max()
        drawing.suptitle(
            f"LeNet on MNIST, momentum 0.9, {epochs:g} epochs: where each delay collapses",
            x=0.01,
            ha="left",
        )
    return path
