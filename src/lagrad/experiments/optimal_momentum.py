"""The best momentum under staleness: stability, optima, and whether runs do as predicted."""

from lagrad.plots import (
    plot_momentum_maps,
    plot_momentum_optima,
    plot_momentum_simulated,
    plot_momentum_stability,
)

from ._experiment import Experiment
from ._optimal_dynamics import LIMITS, MAPS, OPTIMA
from ._optimal_random import RANDOM
from ._optimal_simulated import SIMULATED
from ._optimal_verdicts import verdicts

EXPERIMENT = Experiment(
    name="optimal-momentum",
    title="Which learning rate and momentum are best under staleness, on quadratics",
    studies=(LIMITS, OPTIMA, MAPS, RANDOM, SIMULATED),
    figures={
        "stability": plot_momentum_stability,
        "optima": plot_momentum_optima,
        "maps": plot_momentum_maps,
        "simulated": plot_momentum_simulated,
    },
    verdicts=verdicts,
)
