"""Points read where they lie: the same gradients as at copies, and no harm by losses that write."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lagrad.core import Lease
from lagrad.runtimes._memory import forget, share
from lagrad.tasks import Differentiator, Samples, Task


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def samples():
    return Samples((torch.linspace(-1, 1, 24).view(8, 3),))


def plain(net, batch):
    return net(*batch).square().mean()


def written_by_data(net, batch):
    net[0].weight.data.clamp_(-0.2, 0.2)
    return plain(net, batch)


def replaced_data(net, batch):
    """What the parameters were views of is as it was, and they are views of something else."""
    net[0].weight.data = net[0].weight.data.clamp(-0.2, 0.2)
    return plain(net, batch)


def written_when_long(net, batch):
    with torch.no_grad():
        if net[0].weight.norm() > 5:
            net[0].weight.mul_(5 / net[0].weight.norm())
    return plain(net, batch)


def passed_within(net, batch):
    """Each half is a backward pass of its own, with gradients of all parameters."""
    halves = [
        checkpoint(net, part.clone().requires_grad_(), use_reentrant=True)
        for part in batch[0].chunk(2)
    ]
    return torch.cat(halves).square().mean()


LOSSES = [plain, written_by_data, replaced_data, written_when_long, passed_within]


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_at_copies(loss):
    task = Task("small", model=model, loss=loss, data=samples, batch_size=4)
    copying, reading = Differentiator(task), Differentiator(task)
    size = copying.layout.size
    region, shared = share("", 2, copying.initial_params())
    views, originals = region.vectors(private=True), region.vectors()
    reading.read_in_place(views)
    for number in range(6):
        # What somebody writes is renewed here each time; the parameters grow.
        point = copying.initial_params() * (1 + number) ** 2
        shared[number % 2].copy_(point)
        rows = views if reading.reads_in_place else originals
        lease, buffers = Lease(number, 0, 0, 4), copying.initial_buffers()
        found, wanted = torch.empty(size), torch.empty(size)
        before = point.clone()
        assert (
            reading(rows[number % 2], lease, buffers=buffers, out=found)[0]
            == copying(point, lease, buffers=buffers, out=wanted)[0]
        )
        assert torch.equal(found, wanted)
        assert torch.equal(point, before)
        assert torch.equal(shared[number % 2], point)
    forget(region)
    assert reading.reads_in_place == (loss in {plain, passed_within, replaced_data})


def long_model():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1000), nn.Linear(1000, 1))


def clamped_far_off(net):
    """It changes nothing, and makes the memory the process's own all the same."""
    for parameter in net.parameters():
        parameter.data.clamp_(-1e6, 1e6)


def one_in_the_middle(net):
    net[2].weight.data[500, 2] = 0.5


def as_it_was(net):
    net[2].weight.data[500, 2] *= 1.0


@pytest.mark.parametrize("begins", [0, 1, 2])
@pytest.mark.parametrize("write", [clamped_far_off, one_in_the_middle, as_it_was])
def test_writing_to_data_is_seen_whenever_it_begins_and_harms_nobody(write, begins):
    calls = []

    def writes(net, batch):
        calls.append(None)
        if len(calls) > 2 * begins:  # two of them for each number
            write(net)
        return plain(net, batch)

    task = Task("long", model=long_model, loss=writes, data=samples, batch_size=4)
    copying, reading = Differentiator(task), Differentiator(task)
    region, shared = share("", 1, copying.initial_params())
    views, originals = region.vectors(private=True), region.vectors()
    reading.read_in_place(views)
    in_place = []
    for number in range(5):
        point = copying.initial_params() * (1 + number)
        shared[0].copy_(point)
        rows = views if reading.reads_in_place else originals
        found, wanted = torch.empty_like(point), torch.empty_like(point)
        lease, buffers = Lease(number, 0, 0, 4), copying.initial_buffers()
        reading(rows[0], lease, buffers=buffers, out=found)
        copying(point.clone(), lease, buffers=buffers, out=wanted)
        assert torch.equal(found, wanted)
        assert torch.equal(shared[0], point)
        in_place.append(reading.reads_in_place)
    forget(region)
    # At the first point, a copy, only another value is seen.
    good = begins or int(write is not one_in_the_middle)
    assert in_place == [True] * good + [False] * (5 - good)


def test_where_the_kernel_does_not_tell_all_points_are_copied(monkeypatch):
    monkeypatch.setattr("lagrad.tasks._pages._PAGEMAP", "/nowhere")
    reading = Differentiator(Task("small", model=model, loss=plain, data=samples, batch_size=4))
    row = reading.initial_params()
    reading.read_in_place([row])
    assert not reading.reads_in_place


def test_a_gradient_of_another_vector_is_no_worse():
    task = Task("small", model=model, loss=plain, data=samples, batch_size=4)
    reading = Differentiator(task)
    region, shared = share("", 1, reading.initial_params())
    shared[0].copy_(reading.initial_params())
    (row,) = region.vectors(private=True)
    other = row + 1
    reading.read_in_place([row])
    found = []
    for point in (row, other, row, other):
        out = torch.empty_like(row)
        reading(point, Lease(0, 0, 0, 4), buffers=reading.initial_buffers(), out=out)
        found.append(out)
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])
    assert torch.equal(other, row + 1)
    assert reading.reads_in_place
    forget(region)
