"""Robust means: what a step's gradients have in common, whatever a few of them are."""

from ._aggregation import Aggregation as Aggregation
from ._coordinate_median import CoordinateMedian as CoordinateMedian
from ._krum import Krum as Krum
from ._trimmed_mean import TrimmedMean as TrimmedMean

__all__ = ["CoordinateMedian", "Krum", "TrimmedMean"]
