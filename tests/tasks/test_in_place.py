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
    rows = [torch.empty(size), torch.empty(size)]
    reading.read_in_place(rows, rows)
    for number in range(6):
        # What somebody writes is renewed here each time; the parameters grow.
        point = copying.initial_params() * (1 + number) ** 2
        rows[number % 2].copy_(point)
        lease, buffers = Lease(number, 0, 0, 4), copying.initial_buffers()
        found, wanted = torch.empty(size), torch.empty(size)
        before = point.clone()
        assert (
            reading(rows[number % 2], lease, buffers=buffers, out=found)[0]
            == copying(point, lease, buffers=buffers, out=wanted)[0]
        )
        assert torch.equal(found, wanted)
        assert torch.equal(point, before)
    assert reading.reads_in_place == (loss in {plain, passed_within, replaced_data})


def test_writing_to_data_that_begins_later_is_seen_and_harms_nobody():
    calls = []

    def late(net, batch):
        calls.append(None)
        if len(calls) > 4:  # two of each differentiator
            net[2].weight.data.clamp_(-0.1, 0.1)
        return plain(net, batch)

    task = Task("small", model=model, loss=late, data=samples, batch_size=4)
    copying, reading = Differentiator(task), Differentiator(task)
    region, shared = share("", 1, copying.initial_params())
    views, originals = region.vectors(private=True), region.vectors()
    reading.read_in_place(views, originals)
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
    assert in_place == [True, True, False, False, False]


def test_a_gradient_of_another_vector_is_no_worse():
    task = Task("small", model=model, loss=plain, data=samples, batch_size=4)
    reading = Differentiator(task)
    row = reading.initial_params()
    other = row + 1
    reading.read_in_place([row], [row])
    found = []
    for point in (row, other, row, other):
        out = torch.empty_like(row)
        reading(point, Lease(0, 0, 0, 4), buffers=reading.initial_buffers(), out=out)
        found.append(out)
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])
    assert torch.equal(other, row + 1)
