"""The server of a run, and the buffers that go with its parameters."""

from torch import Tensor

from lagrad.core import BufferPolicy, LeaseBook, Server

from ._setup import Setup
from ._trainee import Trainee


def new_server(setup: Setup, differentiator: Trainee) -> Server:
    """The server of a setup before its first event."""
    buffers = differentiator.initial_buffers()
    return Server(
        differentiator.initial_params(),
        layout=differentiator.layout,
        rule=setup.rule,
        policy=setup.policy,
        leases=LeaseBook(differentiator.num_samples, setup.task.batch_size),
        buffers=buffers if buffers.numel() else None,
        counters=differentiator.buffer_counters(),
        buffer_policy=setup.buffers,
        ema=setup.ema,
        release_dropped=setup.release_dropped,
        guard=setup.guard,
    )


def buffers_at(
    params: Tensor, server: Server, differentiator: Trainee, policy: BufferPolicy
) -> Tensor:
    """The model's buffers that go with `params`, as the policy says: [B] float64."""
    if server.buffers is None:
        return differentiator.initial_buffers()
    if policy is BufferPolicy.RECALIBRATE:
        return differentiator.recalibrate(params)
    return server.buffers
