"""Means over seeds and how sure they are."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def interval(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """(mean, half-width of its Student t interval); the half-width of one value is NaN.

    >>> mean, half = interval([1.0, 2.0, 3.0])
    >>> mean, round(half, 3)
    (2.0, 2.484)
    """
    count = len(values)
    mean = float(np.mean(values))
    if count < 2:
        return mean, math.nan
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return mean, float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * error


def words(values: Sequence[float], digits: int = 3) -> str:
    """The mean and its 95 % interval, for a sentence.

    >>> words([1.0, 2.0, 3.0])
    '2 ± 2.48'
    """
    mean, half = interval(values)
    return f"{mean:.{digits}g}" if math.isnan(half) else f"{mean:.{digits}g} ± {half:.{digits}g}"
