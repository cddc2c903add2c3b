"""Wait for everyone, but not beyond the median job plus `mads` deviations."""

from dataclasses import dataclass
from functools import cached_property

from ._point import Named, Point


@dataclass(frozen=True)
class Deadline(Named):
    """Wait for everyone, but not beyond the median job plus `mads` deviations.

    A step is due when all have delivered, or at
        last step + median + mads * MAD
    of the recent job times, with what has come by then (at least one gradient). Gradients that
    miss their step join the next one at their date. mads: float >= 0.
    Source: ours, after the adaptive deadlines that users of fixed ones ask for.
    """

    mads: float = 3.0

    @cached_property
    def point(self) -> Point:
        """Where this policy lies in the space."""
        return Point(quorum=None, hold=True, mads=self.mads)
