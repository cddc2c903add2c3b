"""Groups of parameters are those of torch.optim."""

import pytest
import torch
from torch import nn

from lagrad import rules
from lagrad.sessions import Session
from lagrad.sessions._alone import Alone

X = torch.linspace(-1, 1, 48)[:, None]
Y = 3 * X + 1


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))


def decays(model):
    """Weights decay, biases do not and are faster: the two interleave in the model."""
    named = list(model.named_parameters())
    return [
        {"params": [p for name, p in named if "bias" in name], "weight_decay": 0.0, "lr": 0.05},
        {"params": [p for name, p in named if "weight" in name]},
    ]


def optimizer_of(model, rule, groups):
    session = Session(Alone(seed=0))
    session.wrap(model)
    return session, session.optimizer(rule, groups=groups)


ALIKE = [
    (
        rules.Momentum(lr=0.02, momentum=0.9, weight_decay=0.1),
        lambda groups: torch.optim.SGD(groups, lr=0.02, momentum=0.9, weight_decay=0.1),
    ),
    (
        rules.TorchOptimizer("adamw", lr=0.02, options=(("weight_decay", 0.1),)),
        lambda groups: torch.optim.AdamW(groups, lr=0.02, weight_decay=0.1),
    ),
    (
        rules.Clipped(rules.SGD(lr=0.02), longest=1e9),
        lambda groups: torch.optim.SGD(groups, lr=0.02),
    ),
]


@pytest.mark.parametrize(("rule", "plain"), ALIKE, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("scheduled", [False, True])
def test_one_worker_is_torch_bit_for_bit(rule, plain, scheduled):
    ours, theirs = network(), network()
    session, optimizer = optimizer_of(ours, rule, decays(ours))
    other = plain(decays(theirs))
    factors = [lambda epoch: 0.5**epoch, lambda epoch: 0.25**epoch]
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(each, factors) for each in (optimizer, other) if scheduled
    ]
    for _ in range(3):
        for x, y in session.batches((X, Y), batch_size=16):
            for model, each in ((ours, optimizer), (theirs, other)):
                each.zero_grad()
                ((model(x) - y) ** 2).mean().backward()
                each.step()
        for scheduler in schedulers:
            scheduler.step()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_the_rule_within_another_one_is_split_and_the_outer_one_sees_the_whole():
    model = network()
    session, optimizer = optimizer_of(model, rules.Clipped(rules.SGD(lr=0.1)), decays(model))
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.1]
    for x, y in session.batches((X, Y), batch_size=16):
        optimizer.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (lambda p: [{"params": p[:2]}], "one group, got 2.bias, 2.weight in none"),
        (lambda p: [{"params": p}, {"params": p[:1]}], "got 0.weight in none or in several"),
        (lambda p: [{"params": [*p, torch.zeros(1)]}], "another tensor"),
        (lambda p: [{"params": p[:2], "speed": 2.0}, {"params": p[2:]}], "got speed"),
        (lambda p: [{"params": p[:2], "lr": -1.0}, {"params": p[2:]}], "sign"),
        (lambda p: [{"params": p}, {"params": []}], "a group of parameters, got 0"),
        (lambda p: [{"params": p, "lr": torch.ones(1)}], "number, word or tuple"),
    ],
)
def test_groups_that_do_not_fit(groups, words):
    model = network()
    with pytest.raises(ValueError, match=words):
        optimizer_of(model, rules.SGD(lr=0.1), groups([*model.parameters()]))


def test_a_rule_that_looks_at_the_whole_vector_is_not_split():
    model = network()
    with pytest.raises(ValueError, match="tensor by tensor"):
        optimizer_of(
            model,
            rules.YellowFin(),
            decays(model)[:0]
            or [{"params": [*model.parameters()][:1]}, {"params": [*model.parameters()][1:]}],
        )


def test_all_groups_are_given_at_once():
    model = network()
    _, optimizer = optimizer_of(model, rules.SGD(lr=0.1), decays(model))
    with pytest.raises(ValueError, match="groups="):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})


def test_a_rate_that_is_none():
    model = network()
    session, optimizer = optimizer_of(model, rules.SGD(lr=0.1), None)
    optimizer.param_groups[0]["lr"] = float("nan")
    next(session.batches((X, Y), batch_size=4))
    with pytest.raises(ValueError, match="mend the scheduler"):
        optimizer.step()
