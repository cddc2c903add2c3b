"""The note's example f(x) = x^2, x_0 = 8, in closed form."""

import math


def plain_iterate(t: int) -> float:
    """Gradient descent with step 1/4: x_t = (1/2)^(t - 3).

    t: int >= 0. Source: equation (4) of the note.

    >>> plain_iterate(0), plain_iterate(5)
    (8.0, 0.25)
    """
    return 0.5 ** (t - 3)


def dated_iterate(t: int) -> float:
    """With the last gradient again at 1/32: x_{t+1} = x_t/2 - x_{t-1}/16, x_t = (2t + 2) 4^(1-t).

    t: int >= 0. Source: equation (5) of the note.

    >>> dated_iterate(0), dated_iterate(1)
    (8.0, 4.0)
    """
    return (2 * t + 2) * 0.25 ** (t - 1)


def rates(alpha: float) -> dict[str, float]:
    """Factors per step, in the long run, on f(x) = x^2 with step alpha in (0, 1/2].

        plain                   1 - 2 alpha
        dated, best weight      (1 - 2 alpha)/2        of the last gradient: (1 - 2 alpha)^2 / 8
        plain, as long a step   |1 - 2 (alpha + weight)|
        heavy ball, best beta   1 - sqrt(2 alpha)      beta = (1 - sqrt(2 alpha))^2

    The characteristic polynomial of the dated one is z^2 - (1 - 2 alpha) z + 2 weight; it is best
    where both roots are equal. At alpha = 1/4 the weight is the note's 1/32 and the factor 1/4.

    >>> rates(0.25)["dated"], rates(0.25)["plain"]
    (0.25, 0.5)
    """
    if not 0 < alpha <= 0.5:
        raise ValueError(f"Expected alpha in (0, 1/2], got {alpha}; beyond, signs alternate.")
    weight = (1 - 2 * alpha) ** 2 / 8
    return {
        "plain": 1 - 2 * alpha,
        "dated": (1 - 2 * alpha) / 2,
        "plain, as long a step": abs(1 - 2 * (alpha + weight)),
        "heavy ball": 1 - math.sqrt(2 * alpha),
    }
