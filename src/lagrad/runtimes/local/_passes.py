"""Linear steps by all cores, in blocks that stay in a core's cache while several steps pass over.

The bits are those of `Linear.apply`: a block is computed as the whole is, and where PyTorch's fused
kernel takes the passes' place, it has been seen to give the same bits on this machine.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

from lagrad.core import Linear

#: Bytes of a vector that are one block.
_BLOCK = 256 * 1024
#: Bytes of a vector from which on other cores help: they are busy with gradients, and to wait for
#: one that wakes costs more than a short vector does.
LONG = 16 * _BLOCK
#: Elements that vector instructions take together divide it; the rest is computed plainly.
_WHOLE = 64


class Passes:
    """Carries linear steps out. A short vector is computed by the caller alone.

    >>> x, m = torch.ones(3), torch.zeros(3)
    >>> passes = Passes()
    >>> passes([Linear(m, 0.5, torch.ones(3), 1.0, 0.25)], x, x)
    >>> passes.close()
    >>> x
    tensor([0.7500, 0.7500, 0.7500])
    """

    def __init__(self) -> None:
        self._helpers = len(os.sched_getaffinity(0)) - 1
        self._pool = ThreadPoolExecutor(
            max(1, self._helpers), "lagrad-pass", initializer=torch.set_num_threads, initargs=(1,)
        )

    def __call__(self, steps: Sequence[Linear], params: Tensor, out: Tensor) -> None:
        """Take the steps, all of one velocity, from `params` [P]; the parameters after are `out`.

        out: [P], `params` itself or memory apart from it.
        """
        length = _BLOCK // params.element_size()
        blocks = iter(
            [slice(at, at + length) for at in range(0, params.numel(), length)]
        )  # whoever is free takes the next
        helpers = self._helpers if params.nbytes >= LONG else 0
        others = [
            self._pool.submit(_work, blocks, steps, params, out)
            for _ in range(min(helpers, params.numel() // length))
        ]
        _work(blocks, steps, params, out)
        for other in others:
            other.result()

    def close(self) -> None:
        """No thread is left."""
        self._pool.shutdown()


def _work(blocks: Iterator[slice], steps: Sequence[Linear], params: Tensor, out: Tensor) -> None:
    for block in blocks:
        before = after = params[block]
        if out is not params:
            after = out[block]
        velocity = steps[0].velocity
        if velocity is not None:
            velocity = velocity[block]
        for step in steps:
            part = Linear(velocity, step.decay, step.values[block], step.factor, step.rate)
            _take(part, before, after)
            before = after


def _take(step: Linear, params: Tensor, out: Tensor) -> None:
    whole = params.numel() // _WHOLE * _WHOLE
    fits = step.factor == 1.0 and step.velocity is not None and whole > 0
    if not fits or not fused_agrees(params.dtype):
        step.apply(params, out)
        return
    if out is not params:
        out.copy_(params)
    if whole < params.numel():
        _part(step, slice(whole, None)).apply(out[whole:], out[whole:])
        step, out = _part(step, slice(whole)), out[:whole]
    _fused(step, out)


def _part(step: Linear, part: slice) -> Linear:
    assert step.velocity is not None
    return Linear(step.velocity[part], step.decay, step.values[part], step.factor, step.rate)


def _fused(step: Linear, params: Tensor) -> None:
    assert step.velocity is not None
    torch._fused_sgd_(
        [params],
        [step.values],
        [step.velocity],
        weight_decay=0.0,
        momentum=step.decay,
        lr=step.rate,
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
        _fused(Linear(theirs[1], decay, g, 1.0, rate), theirs[0])
    return all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
