"""Each published rule is its parent where nothing is late, or without its correction."""

import numpy as np
import pytest
import torch

from lagrad import schedules
from lagrad.core import Gradient, Layout
from lagrad.rules import (
    SGD,
    SMEGA2,
    Clipped,
    DelayCompensated,
    DelayedNesterov,
    FedAsync,
    GapAware,
    Momentum,
    Ringleader,
    Throttle,
    TorchOptimizer,
    WeightPrediction,
    capped_delay,
    clipped_asgd,
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
from rules.world import Ours, World, assert_same, turn

LR, M = 0.05, 0.8
BALL = {"lr": LR, "momentum": M}


def side_by_side(rules, n, *, steps=60):
    """Both rules' parameters, and what they send, after each step of the same world."""
    world, draw = World(n, seed=n), np.random.default_rng(n)
    sides = [Ours(world, rule) for rule in rules]
    for _ in range(steps):
        worker = int(draw.integers(n))
        turn(world, sides, (worker,))
        yield [side.x for side in sides], [side.sent[worker] for side in sides]


BALL_RULE = Momentum(**BALL)


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize(
    "rules",
    [
        (dc_asgd(lr=LR, strength=0.0), SGD(lr=LR)),
        (DelayCompensated(BALL_RULE, strength=0.0, decay=0.9), BALL_RULE),
        (clipped_asgd(lr=LR, longest=1e9), SGD(lr=LR)),
        (Clipped(BALL_RULE, longest=1e9), BALL_RULE),
        (lwp(**BALL, steps=0.0), BALL_RULE),
        (WeightPrediction(SGD(lr=LR), steps=0.0), SGD(lr=LR)),
        (capped_delay(99, lr=LR), SGD(lr=LR)),
        (delay_adaptive(99, lr=LR), SGD(lr=LR)),
        (ormo_da(99, **BALL), ormo(99, **BALL)),
        (TorchOptimizer("sgd", lr=LR, options=(("momentum", M),)), BALL_RULE),
    ],
    ids=lambda rules: f"{rules[0]} is {rules[1]}",
)
def test_without_its_correction_a_rule_is_its_parent_bit_for_bit(rules, n):
    for params, points in side_by_side(rules, n):
        assert torch.equal(*params)
        assert torch.equal(*points)


def alone(optimizer, **options):
    """A synchronous parent, one worker: torch's own optimizer, on the same gradients."""

    def trajectory(world, noises):
        x = torch.nn.Parameter(torch.tensor(world.start))
        theirs = getattr(torch.optim, optimizer)([x], **options)
        for noise in noises:
            x.grad = torch.from_numpy(world.gradient(x.detach().numpy(), noise))
            theirs.step()
            yield x.detach()

    return trajectory


GRADIENT_DESCENT = alone("SGD", lr=LR)
HEAVY_BALL = alone("SGD", lr=LR, momentum=M)
NESTEROV = alone("SGD", lr=LR, momentum=M, nesterov=True)
PARENTS = [
    *(
        (rule, GRADIENT_DESCENT)
        for rule in (
            staleness_aware(lr=LR),
            delay_adaptive(1, lr=LR),
            capped_delay(1, lr=LR),
            FedAsync(lr=LR),
            dc_asgd(lr=LR),
            dc_asgd_adaptive(lr=LR),
            Ringleader(1, lr=LR),
            Throttle(1, lr=LR),
            fed_buff(lr=LR),
        )
    ),
    *(
        (rule, HEAVY_BALL)
        for rule in (
            multi_asgd(**BALL),
            GapAware(**BALL),
            ormo(1, **BALL),
            ormo_da(1, **BALL),
            spike_compensation(**BALL),
            lwp(**BALL),
            lwp_sc(**BALL),
            roll_forward(1, **BALL),
            rfx2(1, **BALL),
            fed_buff(**BALL),
        )
    ),
    *(
        (rule, NESTEROV)
        for rule in (
            nag_asgd(**BALL),
            dana_zero(**BALL),
            dana_slim(**BALL),
            SMEGA2(1, **BALL),
            DelayedNesterov(1, **BALL),
            DelayedNesterov(1, **BALL, ahead=1.0),
        )
    ),
    (fadas(1, lr=LR), alone("Adam", lr=LR, betas=(0.9, 0.99), amsgrad=True)),
]


@pytest.mark.parametrize(("rule", "parent"), PARENTS, ids=lambda given_: str(given_)[:60])
def test_one_worker_alone_is_the_synchronous_parent(rule, parent):
    """In the sequence of points that gradients are taken at."""
    world = World(1, seed=3)
    ours = Ours(world, rule)
    noises = [world.noise() for _ in range(60)]
    for noise, theirs in zip(noises, parent(world, noises), strict=True):
        ours.step([(0, 1, noise)])
        world.version += 1
        world.read[0] = world.version
        ours.sent[0] = ours.point()
        assert_same(ours.sent[0].numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("adam", torch.optim.Adam, {"betas": (0.8, 0.99), "amsgrad": True}),
        ("adamw", torch.optim.AdamW, {"weight_decay": 0.1}),
        ("nadam", torch.optim.NAdam, {}),
        ("radam", torch.optim.RAdam, {}),
        ("adamax", torch.optim.Adamax, {}),
        ("adagrad", torch.optim.Adagrad, {"lr_decay": 0.1}),
        ("adadelta", torch.optim.Adadelta, {"rho": 0.8}),
        ("rmsprop", torch.optim.RMSprop, {"centered": True, "momentum": 0.5}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "dampening": 0.1}),
    ],
)
def test_a_torch_optimizer_with_nothing_late_is_itself_bit_for_bit(name, theirs, options, dtype):
    torch.manual_seed(0)
    layout = Layout(("a", "b"), ((3, 2), (7,)), dtype)
    schedule = schedules.Cosine(0.05, 40)
    flat = torch.randn(layout.size, dtype=dtype)
    parts = {
        name: torch.nn.Parameter(part.clone()) for name, part in layout.views(flat.clone()).items()
    }
    rule = TorchOptimizer(name, lr=schedule, options=tuple(options.items()))
    optimizer = theirs(parts.values(), lr=schedule(0), **options)
    state = rule.init(flat, layout)
    for version in range(40):
        g = torch.randn(layout.size, dtype=dtype)
        gradients = [Gradient(worker=0, tau=0, samples=3, values=g)]
        rule.apply(flat, state, gradients, version=version)
        optimizer.param_groups[0]["lr"] = schedule(version)
        for part, values in layout.views(g).items():
            parts[part].grad = values.clone()
        optimizer.step()
        for part, values in layout.views(flat).items():
            assert torch.equal(values, parts[part]), (version, part)


def test_federated_mixing_of_one_adopts_the_workers_model():
    world, draw = World(3, seed=0), np.random.default_rng(0)
    ours = Ours(world, FedAsync(lr=1.0, weight=Polynomial(0.0)))
    for _ in range(30):
        worker = int(draw.integers(3))
        noise, sent = world.noise(), ours.sent[worker].numpy()
        ours.step([(worker, 1, noise)])
        assert_same(ours.x.numpy(), sent - world.gradient(sent, noise), rtol=1e-12)
        world.version += 1
        world.read[worker], ours.sent[worker] = world.version, ours.point()
