"""Which device is meant, and what is said where it is not there."""

import pytest
import torch

from lagrad.core import accelerator, require_kind


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many devices of a kind."""

    def made(kind, count):
        found = None if kind is None else torch.device(kind)
        monkeypatch.setattr(
            torch.accelerator, "current_accelerator", lambda check_available=False: found
        )
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)

    return made


def test_workers_take_turns_on_devices_of_a_kind(machine):
    machine("cuda", 2)
    chosen = [accelerator("cuda", worker) for worker in range(3)]
    assert chosen == [torch.device("cuda:0"), torch.device("cuda:1"), torch.device("cuda:0")]
    assert {accelerator("cuda:1", worker) for worker in range(3)} == {torch.device("cuda:1")}


def test_the_processor_needs_none(machine):
    machine(None, 0)
    assert accelerator("cpu") is None


@pytest.mark.parametrize(
    ("kind", "count", "asked", "words"),
    [
        (None, 0, "cuda", r"got 'cuda', where PyTorch .* finds no accelerator; install"),
        ("xpu", 1, "cuda:0", r"got 'cuda:0', where PyTorch .* finds only xpu; install"),
        ("cuda", 2, "cuda:2", "one of the 2 devices here, counted from 0, got 'cuda:2'"),
    ],
)
def test_a_device_that_is_not_here_is_refused(machine, kind, count, asked, words):
    machine(kind, count)
    with pytest.raises(ValueError, match=words):
        accelerator(asked)


@pytest.mark.parametrize("text", ["nonsense", "cuda:x", "", "mps", "meta"])
def test_what_is_no_device_of_gradients_is_refused(text):
    with pytest.raises(ValueError, match=r"Expected a device .* got"):
        require_kind(text)


@pytest.mark.parametrize("device", [torch.device("cpu"), b"cpu", None, 3.5], ids=repr)
def test_a_device_has_a_name(device):
    with pytest.raises(ValueError, match=r"Expected a device's name, .* give a str"):
        require_kind(device)
