"""Sets: simple convex sets, and the projection onto them."""

from ._ball import Ball as Ball
from ._box import Box as Box
from ._convex_set import ConvexSet as ConvexSet
from ._non_negative import NonNegative as NonNegative
from ._simplex import Simplex as Simplex

__all__ = ["Ball", "Box", "ConvexSet", "NonNegative", "Simplex"]
