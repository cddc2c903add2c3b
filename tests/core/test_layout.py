"""Layout: names and shapes on one flat vector."""

import pytest
import torch
from torch import nn

from lagrad.core import Layout


def test_views_share_memory_and_pack_copies():
    model = nn.Linear(3, 2)
    layout = Layout.of_parameters(model)
    flat = layout.pack(model.named_parameters())
    assert torch.equal(layout.views(flat)["weight"], model.weight)
    layout.views(flat)["bias"].fill_(7.0)
    assert flat[6:].tolist() == [7.0, 7.0]
    assert not torch.equal(model.bias, layout.views(flat)["bias"])


def test_tied_weights_appear_once_and_frozen_ones_not():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model[2].requires_grad_(False)
    assert Layout.of_parameters(model).names == ("0.weight", "0.bias", "1.bias")


def test_buffers_are_those_that_are_saved():
    model = nn.Sequential(nn.BatchNorm1d(2))
    model.register_buffer("scratch", torch.zeros(5), persistent=False)
    layout = Layout.of_buffers(model)
    assert layout.names == ("0.running_mean", "0.running_var", "0.num_batches_tracked")
    assert (layout.size, layout.dtype) == (5, torch.float64)


def test_a_model_without_trainable_parameters_is_refused():
    with pytest.raises(ValueError, match="check requires_grad"):
        Layout.of_parameters(nn.ReLU())


def test_several_dtypes_are_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(ValueError, match="one dtype"):
        Layout.of_parameters(model)


def test_a_vector_of_the_wrong_size_is_refused():
    with pytest.raises(ValueError, match="vector of 8 elements"):
        Layout.of_parameters(nn.Linear(3, 2)).views(torch.zeros(7))
