"""Vectors in host memory and tensors, wherever these lie: what is copied is what was there."""

import pytest
import torch
from torch import nn

from accelerated import device, needs_accelerator
from lagrad.core import Copies, Layout, Staging

ROUNDS = 20
LAYOUT = Layout(("a", "b", "c"), ((300, 7), (), (4,)), torch.float32)


def tensors(where=None):
    """Of several dtypes, one of them not in the order of its memory."""
    return [
        torch.zeros(7, 300, device=where).T,
        torch.zeros((), dtype=torch.int64, device=where),
        torch.zeros(4, dtype=torch.bfloat16, device=where),
    ]


def vector(number):
    """What bfloat16 holds exactly."""
    return (torch.arange(LAYOUT.size) % 64 + number).float()


def test_what_is_loaded_is_collected():
    copies, there = Copies(LAYOUT), tensors()
    copies.load(vector(0), there)
    assert torch.equal(there[0], vector(0)[:2100].view(300, 7))
    copies.collect(there, out := torch.empty(LAYOUT.size))
    assert torch.equal(out, vector(0))


def test_what_is_not_there_is_zero_and_sparse_is_dense():
    sparse = torch.eye(300)[:, :7].to_sparse()
    Copies(LAYOUT).collect([sparse, None, torch.ones(4)], out := torch.full((LAYOUT.size,), 7.0))
    assert torch.equal(out[:2100].view(300, 7), torch.eye(300)[:, :7])
    assert out[2100:].tolist() == [0, 1, 1, 1, 1]


@needs_accelerator
def test_a_vector_may_be_written_to_as_soon_as_it_is_loaded():
    copies, there = Copies(LAYOUT), tensors(device())
    given, out = torch.empty(LAYOUT.size), torch.empty(LAYOUT.size)
    for number in range(ROUNDS):
        given.copy_(vector(number))
        copies.load(given, there)
        given.fill_(-1)
        copies.load(vector(number + 1), there)
        copies.collect(there, out)
        assert torch.equal(out, vector(number + 1))


@needs_accelerator
def test_what_is_computed_before_is_collected_and_what_comes_after_is_not():
    copies, there = Copies(LAYOUT), tensors(device())
    out, again = torch.empty(LAYOUT.size), torch.empty(LAYOUT.size)
    for number in range(ROUNDS):
        copies.load(vector(number), there)
        first = [2 * tensor for tensor in there]
        copies.collect(first, out)
        for tensor in first:
            tensor.zero_()
        copies.collect(first, again)
        assert torch.equal(out, 2 * vector(number))
        assert not again.any()


@needs_accelerator
def test_a_load_waits_for_what_still_reads_the_last_one():
    flat = torch.zeros(5000, device=device())
    staging = Staging(flat, [(5000,)])
    kept = []
    for number in range(ROUNDS):
        staging.load([torch.full((5000,), float(number))])
        kept.append(flat.clone())
    assert all(copy.eq(number).all() for number, copy in enumerate(kept))


@needs_accelerator
def test_what_is_on_its_way_stays_though_nobody_else_keeps_it():
    staging = Staging(torch.zeros(3000, device=device()), [(3000,)])
    for number in range(ROUNDS):
        staging.bring(0, torch.full((3000,), float(number), device=device()))
        torch.full((3000,), -1.0, device=device())  # would take the memory of what was dropped
        assert staging.finish()[0].eq(number).all()


@needs_accelerator
def test_a_load_does_not_write_over_what_is_still_on_its_way_out():
    staging = Staging(flat := torch.zeros(3000, device=device()), [(3000,)])
    for number in range(ROUNDS):
        staging.bring(0, torch.ones(3000, device=device()))  # and nobody asks for it
        staging.load([torch.full((3000,), float(number))])
        assert flat.eq(number).all()


@needs_accelerator
@pytest.mark.parametrize("last", [0, 1, None])
def test_a_model_may_lie_on_several_devices_and_be_moved(last):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    copies = Copies(layout := Layout.of_parameters(model))
    places = [(None, None), (0, None), (0, 1), (1, 0), (last, last)]
    for number, (first, second) in enumerate(places):
        for layer, place in zip(model, (first, second), strict=True):
            layer.to("cpu" if place is None else device(place))
        wanted = torch.arange(float(layout.size)) + number
        copies.load(wanted, list(model.parameters()))
        copies.collect(list(model.parameters()), out := torch.empty(layout.size))
        assert torch.equal(out, wanted)
