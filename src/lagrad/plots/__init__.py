"""Figures, drawn from tables and traces alone."""

from ._bound import plot_distances as plot_distances
from ._bound import plot_quorum_errors as plot_quorum_errors
from ._jain import plot_jain as plot_jain
from ._momentum import plot_momentum_curves as plot_momentum_curves
from ._momentum import plot_momentum_times as plot_momentum_times
from ._motivation import plot_gain as plot_gain
from ._motivation import plot_motivation as plot_motivation
from ._optimal_momentum import plot_momentum_optima as plot_momentum_optima
from ._optimal_momentum import plot_momentum_simulated as plot_momentum_simulated
from ._optimal_momentum import plot_momentum_stability as plot_momentum_stability
from ._optimal_momentum_maps import plot_momentum_maps as plot_momentum_maps
from ._race import Curve as Curve
from ._race import plot_race as plot_race
from ._races import plot_race_profile as plot_race_profile
from ._races import plot_race_times as plot_race_times
from ._run import plot_run as plot_run
from ._runtime import plot_runtime_staleness as plot_runtime_staleness
from ._runtime import plot_runtime_steps as plot_runtime_steps
from ._runtime import plot_runtime_tradeoff as plot_runtime_tradeoff
from ._staleness import plot_staleness as plot_staleness

__all__ = [
    "Curve",
    "plot_distances",
    "plot_gain",
    "plot_jain",
    "plot_momentum_curves",
    "plot_momentum_maps",
    "plot_momentum_optima",
    "plot_momentum_simulated",
    "plot_momentum_stability",
    "plot_momentum_times",
    "plot_motivation",
    "plot_quorum_errors",
    "plot_race",
    "plot_race_profile",
    "plot_race_times",
    "plot_run",
    "plot_runtime_staleness",
    "plot_runtime_steps",
    "plot_runtime_tradeoff",
    "plot_staleness",
]
