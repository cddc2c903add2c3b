"""Tests that need an accelerator: CUDA's, or the simulated one of docs/gpu.md."""

import pytest
import torch

ACCELERATOR = torch.accelerator.current_accelerator(check_available=True)
KIND = "none" if ACCELERATOR is None else ACCELERATOR.type

needs_accelerator = pytest.mark.skipif(
    ACCELERATOR is None, reason="PyTorch finds no accelerator; docs/gpu.md has a simulated one"
)


def device(index=0):
    """One of them; the last one, where there are fewer."""
    return torch.device(KIND, min(index, torch.accelerator.device_count() - 1))


def assert_near(found, wanted):
    """Equal but for how an accelerator rounds, which a copy that came too early would not be."""
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
