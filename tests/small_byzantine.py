"""Synchronous steps on a parabola, of five workers of which one lies."""

import torch

from conversation import SIZE, Conversation
from lagrad.policies import Synchronous


def attacked(rule, *, steps=100):
    """Distance to the optimum, at 1, when worker 4 pushes away from it with all its might."""
    talk = Conversation(Synchronous(), rule=rule)
    talk.join(*range(5))
    noise = torch.Generator().manual_seed(0)
    for _ in range(steps):
        for worker in range(5):
            honest = talk.sent[worker].point - 1.0
            blurred = honest + 0.01 * torch.randn(SIZE, generator=noise, dtype=torch.float64)
            talk.push(worker, -20.0 * blurred if worker == 4 else blurred)
            talk.pull(worker)
    return (talk.server.params - 1.0).norm().item()
