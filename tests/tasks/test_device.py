"""Gradients on an accelerator: those of the processor, in host memory, a function of the lease."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import small_tasks
from accelerated import KIND, assert_near, device, needs_accelerator
from lagrad.core import Lease
from lagrad.tasks import Differentiator, Samples, Task, lenet_mnist, quadratic
from lagrad.tasks._moved import moved

ROUNDS = 8


def embedding(*, sparse):
    """With a parameter that the loss does not depend on."""
    model = nn.ModuleDict({"table": nn.Embedding(9, 3, sparse=sparse), "idle": nn.Linear(2, 2)})
    model["last"] = nn.Linear(3, 1)
    return model


def of_embedding(*, sparse):
    made = partial(embedding, sparse=sparse)
    return Task(f"sparse-{sparse}", model=made, loss=of_rows, data=numbers, batch_size=4)


def of_rows(model, batch):
    return model["last"](model["table"](batch[0])).square().mean()


def numbers():
    return Samples((torch.arange(8),))


def two_layers():
    return nn.Sequential(nn.Linear(small_tasks.FEATURES, 4), nn.Tanh(), nn.Linear(4, 3))


def passed_within(model, batch):
    """Each half is a backward pass of its own, with gradients of all parameters."""
    halves = [
        checkpoint(model, part.clone().requires_grad_(), use_reentrant=True)
        for part in batch[0].chunk(2)
    ]
    return nn.functional.cross_entropy(torch.cat(halves), batch[1])


def dropping():
    return nn.Sequential(nn.Linear(small_tasks.FEATURES, 3), nn.Dropout(0.5))


class ByName(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"x": torch.full((small_tasks.FEATURES,), float(index)), "name": str(index)}


def named():
    return Samples(ByName())


def of_names(model, batch):
    assert batch["name"]
    return model(batch["x"]).square().mean()


TASKS = [
    small_tasks.blobs,
    small_tasks.with_batch_norm,
    of_embedding(sparse=False),
    pytest.param(
        of_embedding(sparse=True),
        marks=pytest.mark.skipif(KIND == "simulated", reason="it has no sparse tensors"),
    ),
    small_tasks.make("within", model=two_layers, loss=passed_within),
    Task("by-name", model=small_tasks.linear, loss=of_names, data=named, batch_size=4),
    quadratic(noise=0.1),
    lenet_mnist(batch_size=8),
]


def leases(task, differentiator):
    size = 1 if differentiator.num_samples is None else task.batch_size
    return [Lease(number, 0, 0, size) for number in range(ROUNDS)]


@needs_accelerator
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_gradients_losses_and_buffers_are_those_of_the_processor(task):
    here, there = Differentiator(task), Differentiator(task, device=device(1))
    assert torch.equal(here.initial_params(), there.initial_params())
    point, out = here.initial_params(), torch.empty(here.layout.size, dtype=here.layout.dtype)
    for lease in leases(task, here):
        wanted = torch.empty_like(out)
        at = here.initial_params() * (1 + 0.1 * lease.number)
        buffers = here.initial_buffers() + lease.number
        loss, after, whole = here(at, lease, buffers=buffers, out=wanted)
        point.copy_(at)
        found, pushed, finite = there(point, lease, buffers=buffers, out=out.fill_(7))
        point.fill_(torch.nan)  # a point is free once its gradient is there
        assert_near(out, wanted)
        assert_near(torch.tensor(found), torch.tensor(loss))
        assert_near(pushed, after)
        assert finite is whole is True


@needs_accelerator
def test_a_gradient_with_dropout_is_a_function_of_the_lease_and_leaves_the_generators_alone():
    task = small_tasks.make("dropping", model=dropping)
    differentiator = Differentiator(task, device=device())
    module, point = torch.get_device_module(device()), differentiator.initial_params()
    states = torch.get_rng_state(), module.get_rng_state(device())
    found = []
    for number in (0, 1, 0):
        out = torch.empty_like(point)
        differentiator(point, Lease(number, 0, 0, 8), buffers=torch.empty(0).double(), out=out)
        found.append(out)
    assert_near(found[0], found[2])
    assert not torch.allclose(found[0], found[1])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(module.get_rng_state(device()), states[1])


@needs_accelerator
def test_gradients_computed_together_are_those_computed_one_by_one():
    here = Differentiator(small_tasks.blobs)
    there = Differentiator(small_tasks.blobs, device=device())
    points = [here.initial_params() * (1 + i) for i in range(3)]
    some = [Lease(i, 0, 8 * i, 8 * i + 8) for i in range(3)]
    wanted, found = torch.empty(2, 3, here.layout.size)
    losses = here.together(points, some, out=wanted, rows=[2, 0, 1])
    assert there.together(points, some, out=found, rows=[2, 0, 1]) == pytest.approx(losses, 1e-4)
    assert_near(found, wanted)


@needs_accelerator
def test_the_state_of_the_model_is_in_host_memory():
    differentiator = Differentiator(small_tasks.with_batch_norm, device=device())
    point, buffers = differentiator.initial_params() + 1, differentiator.initial_buffers() + 2
    state = differentiator.state_dict(point, buffers)
    wanted = Differentiator(small_tasks.with_batch_norm).state_dict(point, buffers)
    assert {value.device.type for value in state.values()} == {"cpu"}
    for name, value in wanted.items():
        assert torch.equal(state[name], value)


def test_a_batch_is_moved_whatever_it_is_made_of():
    class Pair(tuple):
        _fields = ("x", "y")

        def __new__(cls, x, y):
            return super().__new__(cls, (x, y))

    batch = {"list": [torch.ones(1), "text"], "pair": Pair(torch.ones(1), 3)}
    found = moved(batch, torch.device("meta"))
    assert found["list"][0].device.type == found["pair"][0].device.type == "meta"
    assert (found["list"][1], found["pair"][1]) == ("text", 3)
    assert isinstance(found["pair"], Pair)
    assert moved(batch, None) is batch
