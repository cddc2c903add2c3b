"""Figures, drawn from tables and traces alone."""

from ._race import Curve as Curve
from ._race import plot_race as plot_race
from ._run import plot_run as plot_run

__all__ = ["Curve", "plot_race", "plot_run"]
