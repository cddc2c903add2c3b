import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from lagrad.core import Lease, shuffled_order
from lagrad.tasks import Differentiator, Samples, Stream, Task, lenet_mnist

GENERATOR = torch.Generator().manual_seed(1)
X = torch.randn(40, 6, generator=GENERATOR)
Y = torch.randint(3, (40,), generator=GENERATOR)
LEASES = [
    Lease(number, number // 5, 8 * (number % 5), 8 * (number % 5) + 8) for number in range(10)
]


def data():
    return Samples((X, Y))


def cross_entropy(model, batch):
    return functional.cross_entropy(model(batch[0]), batch[1])


def plain():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def with_dropout():
    return nn.Sequential(nn.Linear(6, 50), nn.Dropout(0.5), nn.Linear(50, 3))


def with_batch_norm():
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x).tanh())


def with_frozen():
    model = plain()
    model[0].requires_grad_(False)
    return model


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Linear(6, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        return self.used(x)


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(3, 3, sparse=True)
        self.dense = nn.Linear(6, 3)

    def forward(self, x):
        return self.dense(x) + self.table(x.argmax(dim=1) % 3)


class SparseAndDense(nn.Module):
    """One matrix whose gradient comes dense from without, and then sparse from within."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(3, 3, sparse=True)
        self.dense = nn.Linear(6, 3)

    def forward(self, x):
        def inner(z):
            return z + self.table(x.argmax(dim=1) % 3)

        return checkpoint(inner, self.dense(x), use_reentrant=True) @ self.table.weight


MODELS = [plain, with_dropout, with_batch_norm, Tied, with_frozen, Unused, Embedded, SparseAndDense]


def differentiator(model, **arguments):
    return Differentiator(Task("t", model, cross_entropy, data, batch_size=8), **arguments)


def gradient(differ, lease, point=None, buffers=None):
    out = torch.full((differ.layout.size,), torch.nan)
    loss, after, finite = differ(
        differ.initial_params() if point is None else point,
        lease,
        buffers=differ.initial_buffers() if buffers is None else buffers,
        out=out,
    )
    assert finite == bool(torch.isfinite(out).all())
    return loss, out, after


@pytest.mark.parametrize("model", MODELS)
def test_a_gradient_depends_on_nothing_but_its_arguments(model):
    differ, other = differentiator(model), differentiator(model)
    forwards = {lease.number: gradient(differ, lease) for lease in LEASES}
    differ.evaluate(torch.zeros(differ.layout.size), differ.initial_buffers())
    torch.rand(3)
    for lease in reversed(LEASES):
        loss, values, buffers = gradient(other if lease.number % 2 else differ, lease)
        assert loss == forwards[lease.number][0]
        assert torch.equal(values, forwards[lease.number][1])
        assert torch.equal(buffers, forwards[lease.number][2])


def test_dropout_differs_from_lease_to_lease_and_from_seed_to_seed():
    differ = differentiator(with_dropout)
    same_samples = [gradient(differ, Lease(number, 0, 0, 8))[1] for number in (0, 1)]
    assert not torch.equal(*same_samples)
    other = differentiator(with_dropout, seed=1)
    point = differ.initial_params()
    assert not torch.equal(gradient(other, LEASES[0], point)[1], same_samples[0])


@pytest.mark.parametrize("model", [plain, Tied, with_frozen, Unused, Embedded, SparseAndDense])
def test_a_gradient_is_that_of_plain_autograd(model):
    differ = differentiator(model, seed=3)
    torch.manual_seed(3)
    reference = model()
    lease = LEASES[7]
    indices = shuffled_order(40, seed=3, epoch=lease.epoch)[lease.start : lease.stop]
    loss = cross_entropy(reference, (X[indices], Y[indices]))
    loss.backward()
    named = [(name, p) for name, p in reference.named_parameters() if p.requires_grad]
    expected = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad.to_dense()).flatten() for _, p in named]
    )
    value, out, _ = gradient(differ, lease)
    assert value == loss.item()
    assert torch.equal(out, expected)
    assert torch.equal(differ.initial_params(), torch.cat([p.detach().flatten() for _, p in named]))


def test_initial_parameters_follow_the_seed_and_the_callers_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    differ = differentiator(with_dropout, seed=1)
    start = differ.initial_params()
    gradient(differ, LEASES[0])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(differ.initial_params(), start)
    assert torch.equal(start, differentiator(with_dropout, seed=1).initial_params())
    assert not torch.equal(start, differentiator(with_dropout).initial_params())


def test_what_goes_in_is_not_modified_and_what_comes_out_is_ones_own():
    differ = differentiator(with_batch_norm)
    point, buffers = differ.initial_params() + 1, differ.initial_buffers()
    copies = point.clone(), buffers.clone()
    _, _, after = gradient(differ, LEASES[0], point, buffers)
    gradient(differ, LEASES[1], after_copy := point * 2, after)
    assert torch.equal(point, copies[0])
    assert torch.equal(buffers, copies[1])
    assert torch.equal(after_copy, copies[0] * 2)
    differ.initial_params().zero_()
    assert differ.initial_params().any()


def test_tied_weights_are_one_parameter_and_frozen_ones_none():
    assert differentiator(Tied).layout.names == ("first.weight", "first.bias", "second.bias")
    assert differentiator(with_frozen).layout.names == ("2.weight", "2.bias")


def test_frozen_parameters_start_from_the_seed_and_stay():
    differ = differentiator(with_frozen, seed=2)
    frozen = differ._model[0].weight.clone()
    gradient(differ, LEASES[0], torch.zeros(differ.layout.size))
    torch.manual_seed(2)
    assert torch.equal(frozen, plain()[0].weight)
    assert torch.equal(frozen, differ._model[0].weight)


def test_batch_norm_buffers_go_in_and_out():
    differ = differentiator(with_batch_norm)
    assert differ.buffer_layout.names == (
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    )
    torch.manual_seed(0)
    reference = with_batch_norm().train()
    buffers = differ.initial_buffers()
    assert buffers.dtype == torch.float64
    for lease in LEASES[:3]:
        _, _, buffers = gradient(differ, lease, buffers=buffers)
        with torch.no_grad():
            reference(X[lease.indices(shuffled_order(40, seed=0, epoch=lease.epoch))])
    views = differ.buffer_layout.views(buffers)
    assert views["1.num_batches_tracked"].item() == 3
    torch.testing.assert_close(views["1.running_mean"].float(), reference[1].running_mean)
    torch.testing.assert_close(views["1.running_var"].float(), reference[1].running_var)
    large = buffers.clone()
    differ.buffer_layout.views(large)["1.num_batches_tracked"].fill_(2.0**40)
    _, _, after = gradient(differ, LEASES[0], buffers=large)
    assert differ.buffer_layout.views(after)["1.num_batches_tracked"].item() == 2**40 + 1


def test_recalibration_averages_the_batches_evenly():
    differ = differentiator(with_batch_norm)
    order = shuffled_order(40, seed=0, epoch=0)
    start = differ.initial_params()
    weight, bias = (differ.layout.views(start)[name] for name in ("0.weight", "0.bias"))
    hidden = [functional.linear(X[order[s : s + 8]], weight, bias) for s in (0, 8, 16)]
    for buffers in (None, differ.initial_buffers() + 3):
        views = differ.buffer_layout.views(
            differ.recalibrate(start, num_batches=3, buffers=buffers)
        )
        torch.testing.assert_close(
            views["1.running_mean"].float(), torch.stack([h.mean(0) for h in hidden]).mean(0)
        )
        torch.testing.assert_close(
            views["1.running_var"].float(), torch.stack([h.var(0) for h in hidden]).mean(0)
        )
        assert views["1.num_batches_tracked"].item() == 3
    assert differ._model[1].momentum == 0.1
    every = differ.buffer_layout.views(differ.recalibrate(start, num_batches=1000))
    assert every["1.num_batches_tracked"].item() == 5


class Replaces(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(6, 3)
        self.register_buffer("count", torch.tensor(0))

    def forward(self, x):
        self.count = self.count + 1
        return self.dense(x)


def test_a_buffer_may_be_replaced_by_the_model():
    differ = differentiator(Replaces)
    _, _, buffers = gradient(differ, LEASES[0])
    _, _, buffers = gradient(differ, LEASES[1], buffers=buffers)
    assert buffers.tolist() == [2.0]


def test_an_interrupted_backward_pass_leaves_nothing_behind():
    differ = differentiator(plain)
    expected = gradient(differ, LEASES[0])[1]
    for parameter in differ._model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert torch.equal(gradient(differ, LEASES[0])[1], expected)


def draw(generator):
    return torch.randn(8, 6, generator=generator), torch.zeros(8, dtype=torch.int64)


def test_a_stream_draws_by_seed_and_lease_number():
    task = Task("t", plain, cross_entropy, partial(Stream, draw))
    differ = Differentiator(task)
    assert differ.num_samples is None
    leases = [Lease(number, 0, number, number + 1) for number in (0, 1, 0)]
    losses = [gradient(differ, lease)[0] for lease in leases]
    assert losses[0] == losses[2] != losses[1]
    other = gradient(Differentiator(task, seed=1), leases[0], differ.initial_params())
    assert other[0] != losses[0]


def test_a_non_finite_loss_is_returned_as_it_is():
    differ = differentiator(plain)
    loss, out, _ = gradient(differ, LEASES[0], torch.full((differ.layout.size,), torch.nan))
    assert math.isnan(loss)
    assert out.isnan().any()


def with_a_sum_beyond_all_numbers(model, batch):
    return (model.weight * 3e38).sum()


def of_two_parts_beyond_all_numbers(model, batch):
    """Two backward passes within one: the gradient of each is finite, and sums to 0."""
    values = torch.tensor([[-3e38], [3e38]])

    def part(inputs):
        return (model.weight * values).sum() + inputs.sum()

    return sum(
        checkpoint(part, batch[0].clone().requires_grad_(), use_reentrant=True) for _ in range(2)
    )


@pytest.mark.parametrize(
    ("loss", "finite"),
    [(with_a_sum_beyond_all_numbers, True), (of_two_parts_beyond_all_numbers, False)],
)
def test_a_gradient_is_finite_if_its_elements_are(loss, finite):
    model = partial(nn.Linear, 1, 2, bias=False)
    differ = Differentiator(Task("t", model, loss, data, batch_size=8))
    _, out, _ = gradient(differ, LEASES[0])
    assert bool(torch.isfinite(out).all()) == finite


def scores(model):
    assert not model.training
    assert not torch.is_grad_enabled()
    return {"weight": model[0].weight.sum().item(), "mean": model[1].running_mean.sum().item()}


def test_evaluation_sees_the_point_and_the_buffers():
    task = Task("t", with_batch_norm, cross_entropy, data, evaluate=scores)
    differ = Differentiator(task)
    ones = torch.ones(differ.layout.size)
    buffers = torch.full((differ.buffer_layout.size,), 2.0, dtype=torch.float64)
    assert differ.evaluate(ones, buffers) == {"weight": 30.0, "mean": 10.0}
    assert differentiator(plain).evaluate(torch.zeros(53), torch.zeros(0)) == {}


def test_lenet_learns_from_its_gradients():
    differ = Differentiator(lenet_mnist(batch_size=64))
    point, buffers = differ.initial_params(), differ.initial_buffers()
    out, losses = torch.empty_like(point), []
    for number in range(25):
        lease = Lease(number, 0, 64 * number, 64 * number + 64)
        loss, buffers, _ = differ(point, lease, buffers=buffers, out=out)
        losses.append(loss)
        point -= 0.05 * out
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
