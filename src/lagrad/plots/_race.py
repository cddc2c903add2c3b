"""A race: one score against the clock, a curve for each entrant."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ._style import figure


@dataclass(frozen=True)
class Curve:
    """One entrant: its name, (seconds, score) points, and when it reached the target, if ever."""

    name: str
    points: Sequence[tuple[float, float]]
    seconds_to_target: float | None


def plot_race(
    curves: Sequence[Curve], path: Path, *, title: str, target: float, score: str
) -> Path:
    """Draw a race with its target and each entrant's time; returns `path`.

    score: what the vertical axis shows. Scores far below the target are cut off.
    """
    with figure(path, width=8.5, height=5.2) as drawing:
        axes = drawing.add_subplot()
        for number, curve in enumerate(curves):
            at = curve.seconds_to_target
            label = f"{curve.name}: {'not reached' if at is None else f'{at:.1f} s'}"
            seconds = [point[0] for point in curve.points]
            scores = [point[1] for point in curve.points]
            (line,) = axes.plot(
                seconds, scores, marker="o", markersize=3, label=label, zorder=3 + number
            )
            if at is not None:
                axes.axvline(at, color=line.get_color(), linewidth=0.8, linestyle=":")
        axes.axhline(target, color="black", linewidth=0.8, linestyle="--")
        axes.annotate(
            f"target {target:.1%}",
            (1.0, target),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            zorder=2.5,  # above the times, below the curves
        )
        best = max((point[1] for curve in curves for point in curve.points), default=1.0)
        axes.set_ylim(target - 0.085, max(best, target) + 0.005)
        axes.set_xlim(left=0.0)
        axes.set_xlabel("wall-clock seconds since every worker was ready")
        axes.set_ylabel(score)
        axes.set_title(title, loc="left")
        axes.legend(
            loc="lower right",
            title=f"time to {target:.1%}",
            frameon=True,
            framealpha=1.0,
            edgecolor="none",
        )
    return path
