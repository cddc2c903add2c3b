"""A script that runs alone is ordinary training."""

import threading

import pytest
import torch
from torch import nn

from lagrad import rules
from lagrad.sessions import Session
from lagrad.sessions._alone import Alone

X = torch.linspace(-1, 1, 48)[:, None]
Y = 3 * X + 1


def linear(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(1, 1)


def loss_of(model, batch):
    x, y = batch
    return ((model(x) - y) ** 2).mean()


def session():
    return Session(Alone(seed=0))


def fit(model, optimizer, batches):
    seen = []
    for batch in batches:
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        seen.append(batch[0].clone())
    return seen


def test_is_torch_sgd_bit_for_bit():
    ours, theirs = linear(), linear()
    s = session()
    optimizer = s.optimizer(rules.Momentum(lr=0.05, momentum=0.9)) if s.wrap(ours) else None
    plain = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    for _ in range(3):
        for batch in s.batches((X, Y), batch_size=16):
            for model, each in ((ours, optimizer), (theirs, plain)):
                fit(model, each, [batch])
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


def test_an_epoch_draws_each_sample_once():
    s, model = session(), linear()
    s.wrap(model)
    optimizer = s.optimizer(rules.SGD(lr=0.01))
    for _ in range(2):
        seen = torch.cat(fit(model, optimizer, s.batches((X, Y), batch_size=10)))
        assert torch.equal(seen.flatten().sort().values, X.flatten())


def test_a_scheduler_of_torch_sets_the_servers_rate():
    ours, theirs = linear(), linear()
    s = session()
    s.wrap(ours)
    optimizer = s.optimizer(rules.Clipped(rules.SGD(lr=0.1), factor=1e9))
    plain = torch.optim.SGD(theirs.parameters(), lr=0.1)
    schedules = [torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5) for o in (optimizer, plain)]
    for _ in range(3):
        for batch in s.batches((X, Y), batch_size=16):
            fit(ours, optimizer, [batch])
            fit(theirs, plain, [batch])
        for each in schedules:
            each.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-6, atol=1e-7)


def test_gradients_accumulate_over_the_batches_of_a_step():
    ours, theirs = linear(), linear()
    s = session()
    s.wrap(ours)
    optimizer = s.optimizer(rules.SGD(lr=0.1))
    plain = torch.optim.SGD(theirs.parameters(), lr=0.1)
    pending = []
    for batch in s.batches((X, Y), batch_size=8, per_step=2):
        pending.append(batch)
        (loss_of(ours, batch) / 2).backward()
        if len(pending) == 2:
            plain.zero_grad()
            for each in pending:
                (loss_of(theirs, each) / 2).backward()
            optimizer.step()
            optimizer.zero_grad()
            plain.step()
            pending = []
    assert not pending
    assert torch.equal(ours.weight, theirs.weight)


def test_local_steps_hand_in_their_difference():
    """An outer rate of 1 takes over where the worker's own steps have led."""
    ours, theirs = linear(), linear()
    s = session()
    s.wrap(ours)
    inner = torch.optim.SGD(ours.parameters(), lr=0.1)
    optimizer = s.optimizer(rules.SGD(lr=1.0), local=inner, steps=3)
    plain = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for batch in s.batches((X, Y), batch_size=8):
        fit(ours, optimizer, [batch])
        fit(theirs, plain, [batch])
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-6, atol=1e-7)


def test_frozen_tied_and_mixed_parameters_and_buffers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.tied = nn.Linear(4, 4)
            self.tied.weight = self.a.weight
            self.frozen = nn.Linear(4, 4).requires_grad_(False)
            self.norm = nn.BatchNorm1d(4)
            self.last = nn.Linear(4, 1).to(torch.bfloat16)

        def forward(self, x):
            return self.last(self.norm(self.frozen(self.tied(self.a(x)))).to(torch.bfloat16))

    torch.manual_seed(0)
    model, s = Net(), session()
    s.wrap(model)
    optimizer = s.optimizer(rules.SGD(lr=0.1))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    data = (torch.randn(32, 4), torch.randn(32, 1))
    for x, y in s.batches(data, batch_size=16):
        optimizer.zero_grad()
        ((model(x).float() - y) ** 2).mean().backward()
        optimizer.step()
    after = s.state_dict()
    assert after.keys() == before.keys()
    assert torch.equal(after["a.weight"], after["tied.weight"])
    assert torch.equal(after["frozen.weight"], before["frozen.weight"])
    assert after["last.weight"].dtype is torch.bfloat16
    assert after["norm.num_batches_tracked"] == 2
    for name in ("a.weight", "last.weight", "norm.running_mean"):
        assert not torch.equal(after[name], before[name])


def test_steps_too_small_for_sixteen_bits_add_up():
    s, model = session(), nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    with torch.no_grad():
        model.weight.fill_(1.0)
    s.wrap(model)
    optimizer = s.optimizer(rules.SGD(lr=1e-3))
    ones = torch.ones(64, 1, dtype=torch.bfloat16)
    for (x,) in s.batches((ones,), batch_size=1):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
    assert torch.tensor(1.0, dtype=torch.bfloat16) - 1e-3 == 1.0
    assert s.state_dict()["weight"].item() == pytest.approx(1 - 64e-3, abs=2**-8)
    assert model.weight.dtype is torch.bfloat16


def test_a_loader_of_ones_own():
    s, model = session(), linear()
    s.wrap(model)
    optimizer = s.optimizer(rules.SGD(lr=0.1))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=16)
    seen = fit(model, optimizer, s.batches(loader))
    assert torch.equal(torch.cat(seen), X)


def test_batches_without_a_step_are_not_waited_for():
    s, model = session(), linear()
    s.wrap(model)
    s.optimizer(rules.SGD(lr=0.1))
    before = model.weight.clone()
    assert len(list(s.batches((X, Y), batch_size=16))) == 3
    assert torch.equal(model.weight, before)


def test_a_batch_may_be_passed_over_before_the_gradients_are_zeroed():
    s, model = session(), linear()
    s.wrap(model)
    optimizer = s.optimizer(rules.SGD(lr=0.1))
    for number, batch in enumerate(s.batches((X, Y), batch_size=8)):
        if number % 2:
            continue
        fit(model, optimizer, [batch])
    assert number == 5


@pytest.mark.parametrize("local_steps", [1, 2])
def test_what_is_left_of_an_epoch_has_as_many_batches_to_a_step(local_steps):
    s, model = session(), linear()
    s.wrap(model)
    inner = torch.optim.SGD(model.parameters(), lr=0.01) if local_steps > 1 else None
    optimizer = s.optimizer(rules.SGD(lr=0.01), local=inner, steps=local_steps)
    count = seen = 0
    for x, y in s.batches((X[:44], Y[:44]), batch_size=8, per_step=2):
        loss_of(model, (x, y)).backward()
        count, seen = count + 1, seen + len(x)
        if count % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()
    assert count % 2 == 0
    assert seen == 44


def test_scores_are_of_the_trained_model_which_is_put_back(monkeypatch):
    s, model = session(), linear()
    s.wrap(model)
    optimizer = s.optimizer(rules.SGD(lr=0.1))
    told = []
    monkeypatch.setattr(s._link, "scored", told.append)
    s.evaluate_every(1e-9, lambda net: {"training": float(net.training)})
    fit(model, optimizer, s.batches((X, Y), batch_size=16))
    assert told == [{"training": 0.0}] * 3
    assert model.training


class TestTheDoor:
    def test_the_order_of_the_lines(self):
        s = session()
        with pytest.raises(RuntimeError, match="wrap"):
            s.optimizer()
        with pytest.raises(RuntimeError, match="optimizer"):
            next(s.batches((X, Y), batch_size=4))
        with pytest.raises(RuntimeError, match="optimizer"):
            s.state_dict()
        s.wrap(linear())
        with pytest.raises(RuntimeError, match="another"):
            s.wrap(linear())
        optimizer = s.optimizer(rules.SGD(lr=0.1))
        with pytest.raises(RuntimeError, match="another"):
            s.optimizer()
        with pytest.raises(RuntimeError, match=r"session\.batches"):
            optimizer.step()
        with pytest.raises(ValueError, match="groups="):
            optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})

    @pytest.mark.parametrize("change", ["freeze", "replace"])
    def test_a_model_changed_after_wrap(self, change):
        s, model = session(), linear()
        s.wrap(model)
        optimizer = s.optimizer(rules.SGD(lr=0.1))
        batch = next(s.batches((X, Y), batch_size=4))
        loss_of(model, batch).backward()
        if change == "freeze":
            model.bias.requires_grad_(False)
        else:
            model.weight = nn.Parameter(torch.ones(1, 1))
        with pytest.raises(RuntimeError, match="when it was wrapped"):
            optimizer.step()

    def test_a_step_in_another_thread(self):
        s, model = session(), linear()
        s.wrap(model)
        optimizer = s.optimizer(rules.SGD(lr=0.1))
        loss_of(model, next(s.batches((X, Y), batch_size=4))).backward()
        caught = []

        def step():
            try:
                optimizer.step()
            except RuntimeError as error:
                caught.append(str(error))

        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
        assert "thread" in caught[0]

    def test_data_of_unknown_length(self):
        s = session()
        s.wrap(linear())
        s.optimizer(rules.SGD(lr=0.1))
        with pytest.raises(TypeError, match="__len__"):
            next(s.batches(iter([X]), batch_size=4))

    def test_a_scheduler_around_a_rule_that_sets_its_own_rate(self):
        s, model = session(), linear()
        s.wrap(model)
        optimizer = s.optimizer(rules.YellowFin())
        optimizer.param_groups[0]["lr"] = 0.5
        loss_of(model, next(s.batches((X, Y), batch_size=4))).backward()
        with pytest.raises(ValueError, match="sets its own"):
            optimizer.step()


def test_between_epochs_the_model_is_the_trained_one():
    s, model = session(), linear()
    s.wrap(model)
    optimizer = s.optimizer(rules.roll_forward(4, lr=0.05, momentum=0.9))
    for _ in range(2):
        fit(model, optimizer, s.batches((X, Y), batch_size=16))
        state = s.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_forgotten_step_is_refused():
    s, model = session(), linear()
    s.wrap(model)
    s.optimizer(rules.SGD(lr=0.1))
    batches = s.batches((X, Y), batch_size=16)
    loss_of(model, next(batches)).backward()
    with pytest.raises(RuntimeError, match="per_step"):
        next(batches)

    def test_data_without_a_sample(self):
        s = session()
        s.wrap(linear())
        s.optimizer(rules.SGD(lr=0.1))
        with pytest.raises(ValueError, match="at least one sample"):
            next(s.batches((X[:0], Y[:0]), batch_size=4))
