"""Every published rule against its plain reference, in a small asynchronous world."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lagrad import schedules
from lagrad.core import Gradient, Layout
from lagrad.rules import (
    SGD,
    SMEGA2,
    AdaDelay,
    DelayedNesterov,
    FedAsync,
    GapAware,
    Momentum,
    Ringleader,
    Throttle,
    YellowFin,
    capped_delay,
    clipped_asgd,
    dana_dc,
    dana_slim,
    dana_zero,
    dc_asgd,
    dc_asgd_adaptive,
    delay_adaptive,
    fadas,
    fed_buff,
    lwp,
    lwp_sc,
    multi_asgd,
    nag_asgd,
    ormo,
    ormo_da,
    rfx2,
    roll_forward,
    spike_compensation,
    staleness_aware,
)
from lagrad.weights import Polynomial
from rules import reference as plain
from rules.world import Ours, Theirs, World, assert_same, turn

LR, M = 0.05, 0.8
BALL = {"lr": LR, "momentum": M}
PLAIN_BALL = {"lr": LR, "m": M}
#: Of the smoothness-aware rules: 1/(4 L lr tau) < 1 from the first late gradient on.
SMOOTHNESS = 4.0


def root_damping(tau):
    return (1 + tau) ** -0.5


#: name -> (the rule, its reference's class, its settings), for n workers; one gradient a step.
ONE_BY_ONE = {
    "asgd": lambda n: (SGD(lr=LR), plain.ASGD, {"lr": LR}),
    "zhang": lambda n: (staleness_aware(lr=LR), plain.ASGD, {"lr": LR, "weigh": plain.zhang}),
    "mishchenko": lambda n: (
        delay_adaptive(n, lr=LR),
        plain.ASGD,
        {"lr": LR, "weigh": plain.mishchenko(n)},
    ),
    "koloskova": lambda n: (
        capped_delay(n, lr=LR, smoothness=SMOOTHNESS),
        plain.ASGD,
        {"lr": LR, "weigh": plain.bounded_rate(n, LR, SMOOTHNESS)},
    ),
    "fed-async": lambda n: (
        FedAsync(lr=0.6, weight=Polynomial(0.5)),
        plain.FedAsync,
        {"mixing": 0.6, "power": 0.5},
    ),
    "ada-delay": lambda n: (AdaDelay(lr=LR), plain.AdaDelay, {"lr": LR}),
    "heavy-ball": lambda n: (Momentum(**BALL), plain.Ball, PLAIN_BALL),
    "nag-asgd": lambda n: (nag_asgd(**BALL), plain.Ball, PLAIN_BALL | {"nesterov": True}),
    "multi-asgd": lambda n: (multi_asgd(**BALL), plain.MultiASGD, PLAIN_BALL),
    "dana-zero": lambda n: (dana_zero(**BALL), plain.DanaZero, PLAIN_BALL),
    "dana-slim": lambda n: (dana_slim(**BALL), plain.DanaSlim, PLAIN_BALL),
    "dana-dc": lambda n: (
        dana_dc(**BALL, strength=2.0, decay=0.95),
        plain.DanaDC,
        PLAIN_BALL | {"strength": 2.0, "decay": 0.95},
    ),
    "dc-asgd": lambda n: (
        dc_asgd(lr=LR, strength=0.5),
        plain.DCASGD,
        {"lr": LR, "strength": 0.5},
    ),
    "dc-asgd-adaptive": lambda n: (
        dc_asgd_adaptive(lr=LR, strength=2.0, decay=0.95),
        plain.AdaptiveDCASGD,
        {"lr": LR, "strength": 2.0, "decay": 0.95},
    ),
    "smega2": lambda n: (SMEGA2(n, **BALL), plain.SMEGA2, PLAIN_BALL | {"n": n}),
    "ormo": lambda n: (ormo(n, **BALL), plain.OrMo, PLAIN_BALL | {"n": n}),
    "ormo-da": lambda n: (
        ormo_da(n, **BALL, smoothness=SMOOTHNESS),
        plain.OrMo,
        PLAIN_BALL | {"n": n, "weigh": plain.bounded_rate(2 * n, LR, SMOOTHNESS)},
    ),
    "lwp": lambda n: (lwp(**BALL), plain.LWP, PLAIN_BALL),
    "lwp, 3 steps": lambda n: (lwp(**BALL, steps=3.0), plain.LWP, PLAIN_BALL | {"steps": 3.0}),
    "spike-compensation": lambda n: (spike_compensation(**BALL), plain.OrMo, PLAIN_BALL | {"n": 1}),
    "lwp-sc": lambda n: (lwp_sc(**BALL), plain.LWPSC, PLAIN_BALL),
    "lwp-sc, 3 steps": lambda n: (
        lwp_sc(**BALL, steps=3.0),
        plain.LWPSC,
        PLAIN_BALL | {"steps": 3.0},
    ),
    "roll-forward": lambda n: (roll_forward(n, **BALL), plain.RollForward, PLAIN_BALL | {"n": n}),
    "rfx2": lambda n: (rfx2(n, **BALL), plain.RollForward, PLAIN_BALL | {"n": n, "reach": 2.0}),
    "clipped": lambda n: (
        clipped_asgd(lr=LR, longest=0.5),
        plain.Clipped,
        {"lr": LR, "longest": 0.5},
    ),
    "delayed-nesterov": lambda n: (
        DelayedNesterov(n, **BALL, ahead=1 / (2 * n)),
        plain.DelayedNesterov,
        PLAIN_BALL | {"n": n, "ahead": 1 / (2 * n)},
    ),
    "ringleader": lambda n: (Ringleader(n, lr=LR), plain.Ringleader, {"lr": LR, "n": n}),
    "throttle": lambda n: (
        Throttle(n, lr=LR, damping=1.5),
        plain.Throttle,
        {"lr": LR, "n": n, "q": 1.5},
    ),
    "yellow-fin": lambda n: (YellowFin(lr=0.5), plain.YellowFin, {"lr": 0.5}),
    "fadas": lambda n: (
        fadas(n, lr=0.5, betas=(0.9, 0.99)),
        plain.FADAS,
        {"lr": 0.5, "n": n, "b2": 0.99},
    ),
}

#: Those that average the gradients of a step.
QUORUM = ONE_BY_ONE | {
    "fed-buff": lambda n: (
        fed_buff(**BALL),
        plain.Ball,
        PLAIN_BALL | {"weigh": root_damping},
    ),
    "fadas, some late": lambda n: (
        fadas(1, lr=1.0, betas=(0.8, 0.9)),
        plain.FADAS,
        {"lr": 1.0, "n": 1, "b1": 0.8, "b2": 0.9},
    ),
}
AVERAGING = [
    *("asgd", "zhang", "mishchenko", "koloskova", "heavy-ball", "nag-asgd", "dc-asgd", "lwp"),
    *("roll-forward", "rfx2", "clipped", "yellow-fin", "fadas", "fed-buff", "fadas, some late"),
    *("smega2", "delayed-nesterov", "ada-delay"),
]


def compare(case, n, steps, seed):
    rule, kind, given_ = case(n)
    world = World(n, seed)
    ours, theirs = Ours(world, rule), Theirs(world, kind(world.start, **given_))
    for step in steps:
        turn(world, (ours, theirs), step)
        assert_same(ours.x.numpy(), theirs.reference.x)
        assert_same(ours.sent[step[0]].numpy(), theirs.sent[step[0]])


@pytest.mark.parametrize("name", ONE_BY_ONE)
class TestOneByOne:
    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_workers_at_random(self, name, n):
        draw = np.random.default_rng(n)
        compare(ONE_BY_ONE[name], n, [(int(draw.integers(n)),) for _ in range(150)], seed=n)

    @settings(max_examples=15)
    @given(n=st.integers(2, 6), data=st.data(), seed=st.integers(0, 99))
    def test_workers_in_any_order(self, name, n, data, seed):
        order = data.draw(st.lists(st.integers(0, n - 1), max_size=30))
        compare(ONE_BY_ONE[name], n, [(worker,) for worker in order], seed=seed)


@pytest.mark.parametrize("name", AVERAGING)
@pytest.mark.parametrize("quorum", [2, 4])
def test_several_gradients_a_step(name, quorum):
    n, draw = 5, np.random.default_rng(quorum)
    steps = [tuple(draw.permutation(n)[:quorum].tolist()) for _ in range(80)]
    compare(QUORUM[name], n, steps, seed=quorum)


def gap_aware(n, momentum):
    ours = GapAware(lr=LR, momentum=momentum, decay=0.99)
    return ours, plain.GapAware, {"lr": LR, "m": momentum, "decay": 0.99}


@pytest.mark.parametrize("momentum", [0.0, M])
def test_gap_aware(momentum):
    draw = np.random.default_rng(0)
    steps = [(int(draw.integers(4)),) for _ in range(150)]
    compare(lambda n: gap_aware(n, momentum), 4, steps, seed=0)


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("name", ["asgd", "zhang", "mishchenko", "koloskova"])
def test_verdicts_report_the_weight(name, n):
    rule, _, given_ = ONE_BY_ONE[name](n)
    weigh = given_.get("weigh", plain.in_full)
    for tau in range(40):
        assert rule.weight_of(tau, version=tau, state=None) == pytest.approx(weigh(tau), rel=1e-12)


class TestDana:
    """Two forms of one method."""

    @pytest.mark.parametrize(("n", "quorum"), [(1, 1), (2, 1), (5, 1), (5, 3)])
    @pytest.mark.parametrize(
        "lr", [LR, schedules.Step(LR, at=(20, 40), factor=0.2), schedules.Cosine(LR, 70)]
    )
    def test_send_the_same_points_also_when_the_rate_changes(self, n, quorum, lr):
        world, draw = World(n, seed=n), np.random.default_rng(n)
        slim = Ours(world, dana_slim(lr=lr, momentum=M))
        zero = Ours(world, dana_zero(lr=lr, momentum=M))
        for _ in range(60):
            step = tuple(draw.permutation(n)[:quorum].tolist())
            turn(world, (slim, zero), step)
            assert_same(slim.sent[step[0]].numpy(), zero.sent[step[0]].numpy(), rtol=1e-12)

    @pytest.mark.parametrize("form", ["dana-zero", "dana-slim", "multi-asgd"])
    def test_keep_eta_v_when_the_rate_changes(self, form):
        schedule = schedules.Step(LR, at=(20, 40), factor=0.2)
        rule = {"dana-zero": dana_zero, "dana-slim": dana_slim, "multi-asgd": multi_asgd}[form]
        _, kind, given_ = ONE_BY_ONE[form](3)
        world, draw = World(3, seed=0), np.random.default_rng(0)
        ours = Ours(world, rule(lr=schedule, momentum=M))
        theirs = Theirs(world, kind(world.start, **given_))
        for _ in range(60):
            worker = int(draw.integers(3))
            theirs.reference.lr = schedule(world.version)
            turn(world, (ours, theirs), (worker,))
            assert_same(ours.x.numpy(), theirs.reference.x)
            assert_same(ours.sent[worker].numpy(), theirs.sent[worker])


@pytest.mark.parametrize("huge", [1e19, 1e38])
@pytest.mark.parametrize("name", ["dc-asgd", "dc-asgd-adaptive", "yellow-fin", "closed loop"])
def test_one_huge_gradient_leaves_the_parameters_finite(name, huge):
    rule = {
        "dc-asgd": dc_asgd(lr=1e-30),
        "dc-asgd-adaptive": dc_asgd_adaptive(lr=1e-30),
        "yellow-fin": YellowFin(),
        "closed loop": YellowFin(closed_loop=True),
    }[name]
    params = torch.ones(3)
    state = rule.init(params, Layout(("x",), ((3,),), torch.float32))
    for version, size in enumerate([1.0, huge, 1.0]):
        values = torch.full((3,), size)
        sent = params.clone()
        gradient = Gradient(worker=0, tau=0, samples=1, values=values, snapshot=sent)
        rule.apply(params, state, [gradient], version=version)
        assert torch.isfinite(params).all()
