"""Many pushes at a time: to the last bit what they are one by one."""

import pytest
import torch

from conversation import SIZE, Conversation
from lagrad import policies, rules
from lagrad.checkpoints import take
from lagrad.core import Gradient, Guard, Outcome, Send, TotalMomentum
from lagrad.weights import Inverse

RULES = {
    "sgd": rules.SGD(lr=0.1, weight=Inverse()),
    "heavy ball": rules.Momentum(lr=0.1, momentum=0.5),
    "looks ahead": rules.PacedMomentum(lr=0.1, momentum=0.5),
    "scheduled": rules.Clipped(rules.SGD(lr=0.1)),
}


@pytest.fixture(autouse=True)
def memory_that_compares(monkeypatch):
    """What is not written yet is zero."""
    monkeypatch.setattr(torch.Tensor, "new_empty", torch.Tensor.new_zeros)


def same_memory(one, other):
    ours, theirs = take(one), take(other)
    assert ours.tree == theirs.tree
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, values in ours.tensors.items():
        assert torch.equal(values, theirs.tensors[name]), name


def pushes_of(talk, order, values):
    """The events that a conversation would hand over, and what it handed over before."""
    events = []
    handle = talk.server.handle
    talk.server.handle = lambda event: events.append(event) or []
    for worker, gradient in zip(order, values, strict=True):
        talk.time += 0.25 + 0.5 * (worker % 2)
        talk.push(worker, gradient)
    del talk.server.handle
    assert talk.server.handle == handle
    return events


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize(("num_samples", "batch"), [(None, 1), (7, 2)])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_an_exchange_is_a_push_and_a_pull_each(rule, num_samples, batch, ema):
    talks = [
        Conversation(
            policies.Asynchronous(), rule=rule, num_samples=num_samples, batch_size=batch, ema=ema
        )
        for _ in range(2)
    ]
    one, many = talks
    for talk in talks:
        talk.join(*range(5))
    generator = torch.Generator().manual_seed(0)
    for number, count in enumerate(60 * [5, 1, 3]):
        order = torch.randperm(5, generator=generator)[:count].tolist()
        values = torch.randn(count, SIZE, dtype=torch.float64, generator=generator)
        pushes = pushes_of(many, order, values)
        assert many.server.exchanges
        answers = many.server.exchange(pushes, values)
        many.server.check()
        for worker, gradient, push, (verdict, send) in zip(
            order, values, pushes, answers, strict=True
        ):
            one.time = push.time
            assert one.push(worker, gradient) == [verdict]
            wanted = one.pull(worker)
            assert torch.equal(wanted.point, send.point)
            assert [getattr(wanted, name) for name in FIELDS] == [
                getattr(send, name) for name in FIELDS
            ]
            many.sent[worker] = send
        if number % 8 == 3:  # after each count, and after the last; what differs stays so
            same_memory(one.server, many.server)
    assert one.server.verdicts[Outcome.APPLIED] == 540


class Choosy(policies.Asynchronous):
    def accepts(self, push, ledger):
        return "" if ledger.version % 2 else "not now"


FIELDS = [name for name in Send.__struct_fields__ if name != "point"]


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        (policies.Asynchronous(), {"guard": Guard(longest=3.0)}),
        (policies.Asynchronous(), {"guard": Guard(spike=3.0)}),
        (policies.Asynchronous(), {"buffers": torch.zeros(2, dtype=torch.float64)}),
        (policies.Asynchronous(), {"rule": rules.DelayCompensated(rules.SGD(lr=0.1))}),
        (Choosy(), {}),
        (policies.Synchronous(), {}),
        (policies.Ringmaster(3), {}),
        (policies.BoundedStaleness(2), {}),
        (policies.KAsync(1), {}),
    ],
)
def test_nothing_is_exchanged_where_more_may_happen(policy, options):
    talk = Conversation(policy, **options)
    talk.join(0, 1)
    assert not talk.server.exchanges


def test_nothing_is_exchanged_while_somebody_is_in_quarantine():
    talk = Conversation(policies.Asynchronous(), guard=Guard(strikes=1, sentence=3))
    talk.join(0, 1)
    assert talk.server.exchanges
    talk.push(0, float("nan"))
    talk.pull(0)
    for _ in range(3):
        assert not talk.server.exchanges
        talk.push(1)
        talk.pull(1)
    assert talk.server.exchanges


@pytest.mark.parametrize("sizes", [[1], [700], [255, 2], [257], [256, 1000], [3, 1021]])
def test_momentum_is_measured_alike_at_any_number_of_steps_at_a_time(sizes):
    generator = torch.Generator().manual_seed(0)
    params = torch.zeros(4, dtype=torch.float64)
    one, many = TotalMomentum(params), TotalMomentum(params)
    done = 0
    while done < 2600:
        size = sizes[done % len(sizes)]
        done += size
        values = torch.randn(size, 4, dtype=torch.float64, generator=generator)
        weights = [1.0 if size == 2 else 1 / (1 + n % 3) for n in range(size)]
        looks = []
        for number, gradient in enumerate(values):
            params = params - 0.1 * gradient
            entry = Gradient(worker=0, tau=number % 5, samples=2, values=gradient)
            one.step(params, [entry], [weights[number]])
            looks.append(many.look(params))
        many.steps(looks, values, weights, [number % 5 for number in range(size)])
        same_memory(one, many)
    assert one.total == many.total
