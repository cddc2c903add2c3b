"""Characteristic polynomials in closed form: the independent check of the matrices.

Coefficients from the highest power down, as `numpy.roots` takes them. x = eta lambda.
"""

import numpy as np

from ._recursions import Floats, fill_coefficients


def family_polynomial(
    x: float, momentum: float, delay: int, *, a: float, b: float, horizon: float
) -> Floats:
    """Spike compensation (a, b) with weight prediction over a horizon T, constant staleness D.

        (z-1)(z-m) z^(D+1) + x ((a+b) z - b m) ((1+T) z - T)

    v <- m v + g, w <- w - eta (a v + b g), gradients at w + T (w_t - w_{t-1}).
    Source: the dynamics of Kosson et al. 2021, arXiv:2003.11666.

    >>> family_polynomial(0.5, 0.0, 0, a=1.0, b=0.0, horizon=0.0).tolist()
    [1.0, -0.5, 0.0, 0.0]
    """
    free = np.polymul(_poles(momentum), _power(delay + 1))
    moved = np.polymul([a + b, -b * momentum], [1.0 + horizon, -horizon])
    return np.polyadd(free, x * moved)


def heavy_ball_polynomial(x: float, momentum: float, delay: int) -> Floats:
    """Heavy ball under a constant staleness D >= 1: (z-1)(z-m) z^(D-1) + x.

    Raises: ValueError for D = 0, where it is (z-1)(z-m) + x z.

    >>> heavy_ball_polynomial(0.25, 0.0, 1).tolist()
    [1.0, -1.0, 0.25]
    """
    if delay < 1:
        raise ValueError(f"Expected a staleness >= 1, got {delay}; at 0 it is (z-1)(z-m) + x z.")
    return np.polyadd(np.polymul(_poles(momentum), _power(delay - 1)), np.array([x]))


def dana_polynomial(x: float, momentum: float, workers: int) -> Floats:
    """DANA, N workers in turn: (z-1)(z^N-m) z^(N-1) + x ((1+m) z^N - m).

    >>> dana_polynomial(1.0, 0.5, 1).tolist()
    [1.0, 0.0, 0.0]
    """
    own = np.polysub(_power(workers), [momentum])
    free = np.polymul(np.polymul([1.0, -1.0], own), _power(workers - 1))
    moved: Floats = np.polysub((1 + momentum) * _power(workers), np.array([momentum]))
    return np.polyadd(free, x * moved)


def multi_asgd_polynomial(x: float, momentum: float, workers: int) -> Floats:
    """Multi-ASGD, a momentum for each of N workers in turn: (z-1)(z^N-m) + x z.

    >>> multi_asgd_polynomial(1.0, 0.5, 1).tolist()
    [1.0, -0.5, 0.5]
    """
    own = np.polysub(_power(workers), [momentum])
    return np.polyadd(np.polymul([1.0, -1.0], own), np.array([x, 0.0]))


def roll_forward_polynomial(
    x: float, momentum: float, delay: int, *, reach: float = 1.0, fill: float = 1.0
) -> Floats:
    """Roll-forward, constant staleness D; at D = N - 1 also for N workers in turn.

        (z-1)(z-m) z^(D+1) + x (m^D z^2 + A m^D z (z-1) + B (z-1)(z-m))

    A = reach * sum_{j=1..D} m^j, B = fill * m^D sum_{j=1..D} (1-m^j)/(1-m).

    >>> roll_forward_polynomial(1.0, 0.5, 0).tolist()
    [1.0, -0.5, 0.5, 0.0]
    """
    ahead, filled = fill_coefficients(np.array([momentum]), delay)
    damping = momentum**delay
    moved: Floats = np.polyadd(
        damping * np.polyadd(_power(2), reach * ahead[0] * np.array([1.0, -1.0, 0.0])),
        fill * filled[0] * _poles(momentum),
    )
    free = np.polymul(_poles(momentum), _power(delay + 1))
    return np.asarray(np.polyadd(free, x * moved), dtype=np.float64)


def exponential_polynomial(x: float, momentum: float, workers: int) -> Floats:
    """Mean of heavy ball with M exponential workers: (z-1)(z-m)(z-mu) + x (1-mu) z^2, mu = 1-1/M.

    Source: Mitliagkas et al. 2016, arXiv:1605.09774, with explicit momentum m.

    >>> exponential_polynomial(1.0, 0.0, 1).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    implicit = 1 - 1 / workers
    free: Floats = np.polymul(_poles(momentum), np.array([1.0, -implicit]))
    return np.asarray(np.polyadd(free, x * (1 - implicit) * _power(2)), dtype=np.float64)


def _poles(momentum: float) -> Floats:
    return np.asarray(np.polymul([1.0, -1.0], [1.0, -momentum]), dtype=np.float64)


def _power(exponent: int) -> Floats:
    return np.array([1.0] + [0.0] * exponent)
