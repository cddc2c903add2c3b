"""Points read where they lie: the same gradients as at copies, and no harm by losses that write."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lagrad.core import Lease
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
    reading.read_in_place(rows)
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


def test_a_gradient_of_another_vector_is_no_worse():
    task = Task("small", model=model, loss=plain, data=samples, batch_size=4)
    reading = Differentiator(task)
    row = reading.initial_params()
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
