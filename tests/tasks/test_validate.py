from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from lagrad.core import Lease
from lagrad.tasks import Differentiator, Samples, Stream, Task

X = torch.ones(10, 2)


def model():
    return nn.Linear(2, 1)


def loss(model, batch):
    return model(batch[0]).square().mean()


def data(samples=10):
    return Samples((X[:samples],))


def frozen():
    return model().requires_grad_(False)


def lazy():
    return nn.LazyLinear(1)


def vector_loss(model, batch):
    return model(batch[0]).square()


def float_loss(model, batch):
    return loss(model, batch).item()


def detached_loss(model, batch):
    return loss(model, batch).detach()


def infinite_loss(model, batch):
    return loss(model, batch) / 0


def broken(*arguments):
    raise RuntimeError("out of ideas")


def draw(generator):
    return (torch.rand(3, 2, generator=generator),)


class Weighty(nn.Linear):
    """Its backward pass fails, not its forward pass."""

    def forward(self, x):
        return Fails.apply(super().forward(x))


class Fails(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError("no way back")


SOUND = Task("mine", model, loss, data, batch_size=4)


def test_a_sound_task_passes_and_the_generator_is_left_alone():
    before = torch.get_rng_state()
    SOUND.validate()
    replace(SOUND, data=partial(Stream, draw), batch_size=1).validate()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"batch_size": 0}, ValueError, "batch_size >= 1, got 0"),
        ({"batch_size": 2.5}, TypeError, "batch_size to be an int, got 2.5"),
        ({"batch_size": 11}, ValueError, "one batch of 11 samples, got 10"),
        ({"data": partial(data, 0)}, ValueError, "empty data set"),
        ({"data": partial(tuple, (X,))}, TypeError, r"got tuple; wrap .* Samples\(dataset\)"),
        ({"data": data()}, TypeError, "`data` to be a function, got Samples"),
        ({"data": partial(Stream, draw)}, ValueError, "batch_size 1 with a Stream, got 4"),
        ({"model": loss}, TypeError, "missing 2 required"),
        ({"model": partial(int, 3)}, TypeError, "return an nn.Module, got int"),
        ({"model": frozen}, ValueError, "Linear with none"),
        ({"model": lazy}, ValueError, "lazy module"),
        ({"loss": float_loss}, TypeError, "scalar tensor, got float"),
        ({"loss": vector_loss}, ValueError, r"scalar, got shape \(4, 1\)"),
        ({"loss": detached_loss}, ValueError, "depend on trainable parameters"),
        ({"loss": infinite_loss}, ValueError, "finite loss at the start, got inf"),
    ],
)
def test_what_is_wrong_is_said(change, error, text):
    with pytest.raises(error, match=text):
        replace(SOUND, **change).validate()


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"model": broken}, "In `model` of task 'mine'."),
        ({"loss": broken}, "In `loss` of task 'mine'."),
        ({"data": broken}, "In `data` of task 'mine'."),
        ({"data": partial(Stream, broken), "batch_size": 1}, "first batch of task 'mine'."),
        ({"model": partial(Weighty, 2, 1)}, "In the backward pass of task 'mine'."),
    ],
)
def test_exceptions_of_the_task_itself_say_where(change, note):
    with pytest.raises(RuntimeError, match=r"out of ideas|no way back") as caught:
        replace(SOUND, **change).validate()
    assert note in caught.value.__notes__[0]


def normalised():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def test_what_was_tried_out_computes_as_what_was_not():
    task = replace(SOUND, model=normalised)
    one, two = Differentiator.tried_out(task, seed=3), Differentiator(task, seed=3)
    assert torch.equal(one.initial_params(), two.initial_params())
    assert torch.equal(one.initial_buffers(), two.initial_buffers())
    gradients = []
    for each in (one, two):
        out = torch.empty(each.layout.size)
        buffers = each.initial_buffers()
        _, after, _ = each(each.initial_params(), Lease(0, 0, 0, 4), buffers=buffers, out=out)
        gradients.append(torch.cat([out, after]))
    assert torch.equal(*gradients)


@pytest.mark.parametrize("field", ["model", "loss", "data", "evaluate"])
def test_what_does_not_pickle_is_named(field):
    task = replace(SOUND, **{field: lambda *arguments: None})
    with pytest.raises(TypeError, match=f"`{field}` to pickle.*top level of a module"):
        task.validate()


def test_lambdas_are_fine_where_no_process_is_crossed():
    replace(SOUND, model=lambda: nn.Linear(2, 1)).validate(pickles=False)


def test_what_was_defined_interactively_gets_its_own_advice():
    def built_at_the_prompt():
        return nn.Linear(2, 1)

    built_at_the_prompt.__module__ = "__main__"
    with pytest.raises(TypeError, match=r"interactively.*module of its own"):
        replace(SOUND, model=built_at_the_prompt).validate()
