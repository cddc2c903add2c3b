"""Delays: models of compute time, which make stragglers."""

from ._bursts import Bursts as Bursts
from ._delays import Delays as Delays
from ._equal import Equal as Equal
from ._factors import Factors as Factors
from ._gamma import Gamma as Gamma
from ._heterogeneous_gamma import HeterogeneousGamma as HeterogeneousGamma
from ._pareto import Pareto as Pareto
from ._recorded import Recorded as Recorded
from ._sampled import Sampled as Sampled
from ._shifted_exponential import ShiftedExponential as ShiftedExponential
from ._stragglers import Stragglers as Stragglers

__all__ = [
    "Bursts",
    "Delays",
    "Equal",
    "Factors",
    "Gamma",
    "HeterogeneousGamma",
    "Pareto",
    "Recorded",
    "Sampled",
    "ShiftedExponential",
    "Stragglers",
]
