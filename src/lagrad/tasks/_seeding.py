"""Seeds for leases, and a block of code that sees a seeded generator."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch


def lease_seed(seed: int, number: int, *, purpose: int = 0) -> int:
    """A seed for lease `number` of a run with `seed`; a non-negative int below 2^32.

    torch's CPU generator uses 32 bits of its seed. A checksum fills them evenly and, for one
    run, gives different numbers different seeds as long as they are below 2^32.
    purpose: 0 for torch's global generator (dropout), 1 for a stream's own.

    >>> lease_seed(0, 1) == lease_seed(0, 1), lease_seed(0, 1) == lease_seed(1, 0)
    (True, False)
    """
    words = struct.pack("<QQ", seed % 2**64, number % 2**64)
    return zlib.crc32(words, purpose)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's CPU generator inside the block; put back its state afterwards.

    device: an accelerator, whose generator is treated alike.

    >>> before = torch.get_rng_state()
    >>> with seeded(0):
    ...     _ = torch.rand(3)
    >>> torch.equal(before, torch.get_rng_state())
    True
    """
    generator = torch.default_generator
    state = generator.get_state()
    with nullcontext() if device is None else _seeded_on(device, seed):
        try:
            # torch.manual_seed would also queue a seeding of every accelerator, at each gradient.
            generator.manual_seed(seed)
            yield
        finally:
            generator.set_state(state)


@contextmanager
def _seeded_on(device: torch.device, seed: int) -> Iterator[None]:
    module: Any = torch.get_device_module(device)
    state = module.get_rng_state(device)
    try:
        with torch.accelerator.device_index(device.index):
            module.manual_seed(seed)
        yield
    finally:
        module.set_rng_state(state, device)
