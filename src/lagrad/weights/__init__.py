"""Weights: how much a gradient counts, as a function of its staleness or age in versions."""

from ._constant import Constant as Constant
from ._cut_off import CutOff as CutOff
from ._exponential import Exponential as Exponential
from ._geometric import Geometric as Geometric
from ._hinge import Hinge as Hinge
from ._inverse import Inverse as Inverse
from ._polynomial import Polynomial as Polynomial

__all__ = [
    "Constant",
    "CutOff",
    "Exponential",
    "Geometric",
    "Hinge",
    "Inverse",
    "Polynomial",
]
