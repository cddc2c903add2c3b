"""Rules on a quadratic, workers in turn: their own code has the eigenvalues that theory computes.

All these rules are linear in the gradients. One eigenvalue is therefore run from many different
pasts at once, the linear map that takes every run over one round of workers is fitted to them, and
its eigenvalues are those of the rule's code: exact, and after a few rounds instead of many time
constants.
"""

import functools
import math

import numpy as np
import pytest
import torch

from lagrad.core import Gradient, Layout
from lagrad.rules import (
    SGD,
    SMEGA2,
    DynamicMomentum,
    Momentum,
    RollForward,
    dana_slim,
    dana_zero,
    lwp,
    lwp_sc,
    multi_asgd,
    ormo,
    roll_forward,
    spike_compensation,
)
from lagrad.theory import optimal_momentum, optimal_rate, stability_limit
from lagrad.weights import Geometric

#: More than the numbers that any of the rules' states needs along one eigenvalue, points in flight
#: included, for 8 workers: 17.
PASTS = 30
CONDITION = 100.0


def dm0(workers, *, lr, momentum):
    """Roll-forward with rounded coefficients: A = D, B = 0.4 D (1 - m^D)/(1 - m)."""
    delay = workers - 1
    reached, filled = RollForward().coefficients(momentum, delay)
    rounded = 0.4 * delay * (1 - momentum**delay) / (1 - momentum)
    ahead = RollForward(reach=delay / reached, fill=rounded / filled)
    return DynamicMomentum(lr=lr, kernel=Geometric(momentum), lookahead=ahead)


#: name in theory, the rule for n workers.
RULES = [
    ("sgd", lambda n, lr, m: SGD(lr=lr)),
    ("heavy-ball", lambda n, lr, m: Momentum(lr=lr, momentum=m)),
    ("nesterov", lambda n, lr, m: Momentum(lr=lr, momentum=m, nesterov=True)),
    ("multi-asgd", lambda n, lr, m: multi_asgd(lr=lr, momentum=m)),
    ("dana", lambda n, lr, m: dana_zero(lr=lr, momentum=m)),
    ("dana", lambda n, lr, m: dana_slim(lr=lr, momentum=m)),
    ("smega2", lambda n, lr, m: SMEGA2(n, lr=lr, momentum=m)),
    ("ormo", lambda n, lr, m: ormo(n, lr=lr, momentum=m)),
    ("lwp", lambda n, lr, m: lwp(lr=lr, momentum=m)),
    ("spike-compensation", lambda n, lr, m: spike_compensation(lr=lr, momentum=m)),
    ("lwp+sc", lambda n, lr, m: lwp_sc(lr=lr, momentum=m)),
    ("roll-forward", lambda n, lr, m: roll_forward(n, lr=lr, momentum=m)),
    ("dm0", lambda n, lr, m: dm0(n, lr=lr, momentum=m)),
]
#: Rules whose best momentum may be negative are run at this one.
FIXED = {"sgd": 0.0, "heavy-ball": 0.9, "nesterov": 0.9}

IDS = [name for name, _ in RULES]


def run(rule, workers, curvature, updates, *, kicked=0):
    """x before each update [T, P] from the `kicked`-th on; until then gradients are noise."""
    generator = torch.Generator().manual_seed(0)

    def noise():
        return torch.randn(len(curvature), dtype=torch.float64, generator=generator)

    x = noise()
    state = rule.init(x, Layout(("x",), ((len(curvature),),), torch.float64))
    sent, seen = [x.clone()] * workers, []
    for version in range(kicked + updates):
        worker = version % workers
        values = noise() if version < kicked else curvature * sent[worker]
        if version >= kicked:
            seen.append(x.clone())
        gradient = Gradient(worker=worker, tau=min(version, workers - 1), samples=1, values=values)
        rule.apply(x, state, [gradient], version=version)
        point = rule.point(x, state, version=version + 1, expected_tau=float(workers - 1))
        sent[worker] = point.clone()
    return torch.stack(seen).numpy()


def growth(rule, workers, eigenvalues):
    """The largest factor per update of the rule's code along each eigenvalue [E]."""
    curvature = torch.as_tensor(eigenvalues, dtype=torch.float64).repeat_interleave(PASTS)
    # The noise makes each run's past its own.
    seen = run(rule, workers, curvature, PASTS + workers, kicked=3 * workers)
    runs = seen.reshape(len(seen), len(eigenvalues), PASTS)
    return np.array([_largest(runs[:, e], workers) for e in range(runs.shape[1])]) ** (1 / workers)


def _largest(runs, workers):
    """The largest |eigenvalue| of the map that takes windows of `runs` [T, PASTS] one round on."""
    before, after = runs[:PASTS], runs[workers : workers + PASTS]
    basis, sizes, pasts = np.linalg.svd(before)
    kept = sizes > 1e-10 * sizes[0]
    basis, sizes, pasts = basis[:, kept], sizes[kept], pasts[kept]
    return np.abs(np.linalg.eigvals(basis.T @ after @ pasts.T / sizes)).max()


@functools.cache
def best(name, workers):
    if name in FIXED:
        return optimal_rate(name, "round-robin", CONDITION, FIXED[name], workers=workers)
    return optimal_momentum(name, "round-robin", CONDITION, workers)


def measured_time_constant(rule, workers):
    return -1 / math.log(growth(rule, workers, np.geomspace(1 / CONDITION, 1.0, 25)).max())


@pytest.mark.parametrize("workers", [2, 4, 8])
@pytest.mark.parametrize(("name", "make"), RULES, ids=IDS)
class TestTheRulesCode:
    def test_has_the_time_constant_of_theory(self, name, make, workers):
        # Which is held to the published tables in tests/theory/test_optimum.py.
        optimum = best(name, workers)
        measured = measured_time_constant(make(workers, optimum.lr, optimum.momentum), workers)
        assert measured == pytest.approx(optimum.time_constant, rel=1e-6)

    def test_is_stable_up_to_the_limit_of_theory(self, name, make, workers):
        momentum = best(name, workers).momentum
        limit = stability_limit(name, "round-robin", momentum, workers=workers)
        inside, outside = growth(make(workers, limit, momentum), workers, [0.98, 1.02])
        assert inside < 1 < outside


@pytest.mark.parametrize(("name", "make"), RULES, ids=IDS)
def test_a_run_shrinks_2_percent_below_the_limit_and_grows_2_percent_above(name, make):
    workers, momentum = 2, best(name, 2).momentum
    limit = stability_limit(name, "round-robin", momentum, workers=workers)
    seen = np.abs(run(make(workers, limit, momentum), workers, torch.tensor([0.98, 1.02]), 3000))
    below, above = seen[-1000:].max(axis=0) / seen[1000:2000].max(axis=0)
    assert below < 0.9
    assert above > 1.1


def test_rounded_roll_forward_at_its_published_point():
    workers, total, per_round = 8, 7.94, 0.778
    momentum = per_round ** (1 / workers)
    rule = dm0(workers, lr=total * (1 - momentum) / workers, momentum=momentum)
    assert measured_time_constant(rule, workers) == pytest.approx(63.2, abs=0.05)
