"""Linear steps by all cores, in blocks that stay in a core's cache while several steps pass over.

The bits are those of `Linear.apply`: a block is computed as the whole is, and where PyTorch's fused
kernel takes the passes' place, it has been seen to give the same bits on this machine.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import groupby

import torch
from torch import Tensor

from lagrad.core import Linear

#: Bytes of a block of a long vector: less than a core's cache, and enough work for one call.
_BLOCK = 512 * 1024
#: Bytes of a vector from which on other cores help: to wait for one that wakes costs more than a
#: short vector does.
LONG = 4 * 1024 * 1024
#: The fused kernel is given multiples of so many elements, whatever number of them a vector
#: instruction takes; the rest is computed plainly.
_WHOLE = 64


class Passes:
    """Carries linear steps out. A short vector is one block, and computed by the caller alone.

    >>> x, m = torch.ones(3), torch.zeros(3)
    >>> passes = Passes()
    >>> passes([Linear(m, 0.5, torch.ones(3), 1.0, 0.25)], x, x)
    >>> passes.close()
    >>> x
    tensor([0.7500, 0.7500, 0.7500])
    """

    def __init__(self) -> None:
        self._others = len(os.sched_getaffinity(0)) - 1
        self._pool = ThreadPoolExecutor(
            max(1, self._others), "lagrad-pass", initializer=torch.set_num_threads, initargs=(1,)
        )

    def __call__(
        self, steps: Sequence[Linear], params: Tensor, out: Tensor, *, busy: int = 0
    ) -> None:
        """Take the steps, all of one velocity, from `params` [P]; the parameters after are `out`.

        out: [P], `params` itself or memory apart from it. busy: how many other cores have work
        and do not help.
        """
        if params.nbytes < LONG:
            _take(steps, params, out)
            return
        length = _BLOCK // params.element_size()
        blocks = iter(list(_blocks(steps, params, out, length)))  # whoever is free takes the next
        others = [self._pool.submit(_work, blocks) for _ in range(self._others - busy)]
        _work(blocks)
        for other in others:
            other.result()

    def close(self) -> None:
        """No thread is left."""
        self._pool.shutdown()


_Block = tuple[Sequence[Linear], Tensor, Tensor]


def _blocks(steps: Sequence[Linear], params: Tensor, out: Tensor, length: int) -> Iterator[_Block]:
    before = torch.split(params, length)
    after = before if out is params else torch.split(out, length)
    velocity = steps[0].velocity
    velocities = [None] * len(before) if velocity is None else torch.split(velocity, length)
    values = [torch.split(step.values, length) for step in steps]
    for at, (x, y, m) in enumerate(zip(before, after, velocities, strict=True)):
        yield (
            [step.of(m, parts[at]) for step, parts in zip(steps, values, strict=True)],
            x,
            y,
        )


def _work(blocks: Iterator[_Block]) -> None:
    for block in blocks:
        _take(*block)


def _take(steps: Sequence[Linear], params: Tensor, out: Tensor) -> None:
    """All steps on one block."""
    velocity, whole = steps[0].velocity, params.numel() // _WHOLE * _WHOLE
    # The kernel refuses a velocity that it would not need.
    fits = whole and all(step.factor == 1.0 and step.decay for step in steps)
    if velocity is None or not (fits and fused_agrees(params.dtype)):
        for step in steps:
            step.apply(params, out)
            params = out
        return
    if out is not params:
        out.copy_(params)
    if whole < params.numel():
        rest = out[whole:]
        _take([step.of(velocity[whole:], step.values[whole:]) for step in steps], rest, rest)
        steps = [step.of(velocity[:whole], step.values[:whole]) for step in steps]
        out = out[:whole]
    for _, alike in groupby(steps, lambda step: (step.decay, step.rate)):
        _fused(list(alike), out)


def _fused(steps: Sequence[Linear], params: Tensor) -> None:
    """Steps of one decay and rate, one after the other within the call."""
    torch._fused_sgd_(
        [params] * len(steps),
        [step.values for step in steps],
        [step.velocity for step in steps],  # type: ignore[misc]
        weight_decay=0.0,
        momentum=steps[0].decay,
        lr=steps[0].rate,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )


@lru_cache
def fused_agrees(dtype: torch.dtype) -> bool:
    """Whether PyTorch's fused kernel gives the bits of the plain passes here, which is tried.

    It depends on the processor, on how PyTorch was built, and on the dtype.
    """
    draw = torch.Generator().manual_seed(0)
    x, m, g = torch.randn((3, 64 * _WHOLE), generator=draw).to(dtype)
    mine, theirs = (x.clone(), m.clone()), (x.clone(), m.clone())
    for decay, rate in ((0.9, 0.1), (0.99, 3e-4), (0.3, 1e-6)):
        Linear(mine[1], decay, g, 1.0, rate).apply(mine[0], mine[0])
        _fused([Linear(theirs[1], decay, g, 1.0, rate)], theirs[0])
    return all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
