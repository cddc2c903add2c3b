"""Each rule on one eigenvalue of a quadratic, as a linear recursion: the only place they differ."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Recursion:
    """A state s that takes in one gradient per step, and the point that workers are sent.

        s <- update s + arrival g,    sent before the step: point . s

    g is eta times the gradient, and s is counted in parameters, so that eta does not appear.
    Arrays over phases (of rules that count to the number of workers) and momenta:
    update [P, B, n, n], arrival and point [P, B, n]. s_0 is the parameter itself.
    """

    update: Floats
    arrival: Floats
    point: Floats


#: Makes a rule's recursion from the momenta [B], the delay D and the number of workers N.
Build = Callable[[Floats, int, int], Recursion]

Entry = Floats | float


@dataclass(frozen=True)
class RuleDynamics:
    """How to make a rule's recursion.

    dated: whether it treats a gradient by its own staleness or worker, so that a random staleness
    does not leave the mean a linear recursion. momentum: whether it has one to choose.
    """

    build: Build
    dated: bool = False
    momentum: bool = True


def find_rule(name: str) -> RuleDynamics:
    """The dynamics of a rule by its name; ValueError, with the near names, for any other."""
    if name in RULES:
        return RULES[name]
    near = difflib.get_close_matches(str(name), RULES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(RULES)}."
    raise ValueError(f"Expected the name of a rule, got {name!r}; {hint}")


def fill_coefficients(beta: Floats, delay: int) -> tuple[Floats, Floats]:
    """(A, B) of roll-forward: sum_{j=1..D} beta^j and beta^D sum_{j=1..D} (1-beta^j)/(1-beta)."""
    powers = beta[:, None] ** np.arange(1, delay + 1)
    return powers.sum(axis=1), beta**delay * ((1 - powers).sum(axis=1) / (1 - beta))


def _row(momenta: Floats, entries: list[Entry]) -> Floats:
    return np.stack([np.broadcast_to(np.float64(entry), momenta.shape) for entry in entries], -1)


def _one_phase(
    momenta: Floats, *, update: list[list[Entry]], arrival: list[Entry], point: list[Entry]
) -> Recursion:
    rows = np.stack([_row(momenta, row) for row in update], axis=-2)
    return Recursion(rows[None], _row(momenta, arrival)[None], _row(momenta, point)[None])


def _in_turn(phases: list[Recursion]) -> Recursion:
    return Recursion(
        np.concatenate([phase.update for phase in phases]),
        np.concatenate([phase.arrival for phase in phases]),
        np.concatenate([phase.point for phase in phases]),
    )


def _family(m: Floats, *, a: Entry, b: Entry, horizon: float) -> Recursion:
    """v <- m v + g, w <- w - (a v + b g), sent w + T (w_t - w_{t-1}); s = (w, v, w_t - w_{t-1})."""
    step = -(a + b)
    return _one_phase(
        m,
        update=[[1.0, -a * m, 0.0], [0.0, m, 0.0], [0.0, -a * m, 0.0]],
        arrival=[step, 1.0, step],
        point=[1.0, 0.0, horizon],
    )


def _sgd(m: Floats, delay: int, workers: int) -> Recursion:
    del delay, workers
    return _one_phase(m, update=[[1.0]], arrival=[-1.0], point=[1.0])


def _heavy_ball(m: Floats, delay: int, workers: int) -> Recursion:
    del delay, workers
    return _family(m, a=1.0, b=0.0, horizon=0.0)


def _nesterov(m: Floats, delay: int, workers: int) -> Recursion:
    del delay, workers
    return _family(m, a=m, b=1.0, horizon=0.0)


def _lwp(m: Floats, delay: int, workers: int) -> Recursion:
    del workers
    return _family(m, a=1.0, b=0.0, horizon=delay)


def _spike_compensation(m: Floats, delay: int, workers: int) -> Recursion:
    del workers
    return _family(m, a=m**delay, b=(1 - m**delay) / (1 - m), horizon=0.0)


def _lwp_sc(m: Floats, delay: int, workers: int) -> Recursion:
    del workers
    return _family(m, a=m**delay, b=(1 - m**delay) / (1 - m), horizon=delay)


def _own_momenta(m: Floats, workers: int, *, ahead: Entry) -> Recursion:
    """v_i <- m v_i + g, w <- w - v_i, sent w - ahead sum_j v_j; s = (w, v of the next, ...).

    Workers take turns: seen from the one whose turn it is, every step is the same.
    """
    size = workers + 1
    update: list[list[Entry]] = [[0.0] * size for _ in range(size)]
    update[0][0], update[0][1] = 1.0, -m
    for place in range(1, workers):
        update[place][place + 1] = 1.0
    update[workers][1] = m
    between: list[Entry] = [0.0] * (workers - 1)
    return _one_phase(
        m, update=update, arrival=[-1.0, *between, 1.0], point=[1.0, *[-ahead] * workers]
    )


def _multi_asgd(m: Floats, delay: int, workers: int) -> Recursion:
    del delay
    return _own_momenta(m, workers, ahead=0.0)


def _dana(m: Floats, delay: int, workers: int) -> Recursion:
    del delay
    return _own_momenta(m, workers, ahead=m)


def _smega2(m: Floats, delay: int, workers: int) -> Recursion:
    """w <- w - (g + m v), b <- b + g; every N-th step v <- m v + b/N, b <- 0; s = (w, v, b)."""
    del delay
    phases = []
    for count in range(workers):
        last = count == workers - 1
        phases.append(
            _one_phase(
                m,
                update=[
                    [1.0, -m, 0.0],
                    [0.0, m if last else 1.0, 1 / workers if last else 0.0],
                    [0.0, 0.0, 0.0 if last else 1.0],
                ],
                arrival=[-1.0, 1 / workers if last else 0.0, 0.0 if last else 1.0],
                point=[1.0, -m * (workers + count * (m - 1)), -m * count / workers],
            )
        )
    return _in_turn(phases)


def _ormo(m: Floats, delay: int, workers: int) -> Recursion:
    """Ages in ticks of N steps: u <- m u per tick, then u <- u + m^age g; s = (w, u)."""
    phases = []
    for step in range(workers, 2 * workers):
        tick = -(-step // workers)
        age = tick + (delay - step) // workers
        ticked = tick > -(-(step - 1) // workers)
        decay: Entry = m if ticked else 1.0
        phases.append(
            _one_phase(
                m,
                update=[[1.0, -m if ticked else 0.0], [0.0, decay]],
                arrival=[-(1 - m ** (age + 1)) / (1 - m), m**age],
                point=[1.0, 0.0],
            )
        )
    return _in_turn(phases)


def _filled(m: Floats, delay: int, ahead: Entry, fill: Entry) -> Recursion:
    """Momentum u <- m u + m^D g, w <- w - u, sent w - (A u + B g); s = (w, u, the last g)."""
    damping = m**delay
    return _one_phase(
        m,
        update=[[1.0, -m, 0.0], [0.0, m, 0.0], [0.0, 0.0, 0.0]],
        arrival=[-damping, damping, 1.0],
        point=[1.0, -ahead, -fill],
    )


def _roll_forward(m: Floats, delay: int, workers: int) -> Recursion:
    del workers
    return _filled(m, delay, *fill_coefficients(m, delay))


def _dm0(m: Floats, delay: int, workers: int) -> Recursion:
    del workers
    return _filled(m, delay, float(delay), 0.4 * delay * (1 - m**delay) / (1 - m))


RULES: dict[str, RuleDynamics] = {
    "sgd": RuleDynamics(_sgd, momentum=False),
    "heavy-ball": RuleDynamics(_heavy_ball),
    "nesterov": RuleDynamics(_nesterov),
    "lwp": RuleDynamics(_lwp),
    "spike-compensation": RuleDynamics(_spike_compensation),
    "lwp+sc": RuleDynamics(_lwp_sc),
    "multi-asgd": RuleDynamics(_multi_asgd, dated=True),
    "dana": RuleDynamics(_dana, dated=True),
    "smega2": RuleDynamics(_smega2),
    "ormo": RuleDynamics(_ormo, dated=True),
    "roll-forward": RuleDynamics(_roll_forward, dated=True),
    "dm0": RuleDynamics(_dm0, dated=True),
}
