"""The machine that decides the order where the vector is in shards: it is fed tickets.

It is the server as always, on a stand-in of two numbers; its rule writes down the steps that it is
told to take, for the shards.
"""

from collections.abc import Sequence
from typing import Any

import torch
from msgspec import structs
from torch import Tensor

from lagrad.core import Gradient, Layout, LeaseBook, Rule, Server
from lagrad.runtimes._setup import Setup
from lagrad.runtimes._trainee import Trainee

#: Version, and (ticket, tau, samples, length) of each gradient.
Step = tuple[int, list[tuple[int, int, int, float]]]

_STAND_IN = Layout(("ticket",), ((2,),), torch.float64)
_ONE = Layout(("element",), ((1,),), torch.float32)


class Tickets:
    """The rule of the server's machine: writes down steps instead of taking them.

    A gradient is a ticket: its number and its Euclidean norm, NaN for one that is not finite, which
    the machine refuses as it refuses such gradients. What the real rule keeps in numbers (medians,
    paces) it keeps here, too, along with an element that is always 0: verdicts tell weights by it.
    """

    needs_snapshots = False

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.looks_ahead = rule.looks_ahead
        self.steps: list[Step] = []
        self.expected_tau = 0.0
        self._element = torch.zeros(1)

    def init(self, params: Tensor, layout: Layout) -> Any:
        """The real rule's, of one element."""
        del params, layout
        return self.rule.init(self._element, _ONE)

    def apply(
        self, params: Tensor, state: Any, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """Write a step down, and let the real rule count it."""
        del params
        tickets = [gradient.values.tolist() for gradient in gradients]
        taken = [
            (int(number), gradient.tau, gradient.samples, length)
            for (number, length), gradient in zip(tickets, gradients, strict=True)
        ]
        self.steps.append((version, taken))
        zero = torch.zeros(1)
        counted = [
            structs.replace(gradient, values=zero, snapshot=zero, length=length)
            for (_, length), gradient in zip(tickets, gradients, strict=True)
        ]
        self.rule.apply(self._element, state, counted, version=version)

    def weight_of(self, tau: int, *, version: int, state: Any) -> float:
        """The real rule's."""
        return self.rule.weight_of(tau, version=version, state=state)

    def point(self, params: Tensor, state: Any, *, version: int, expected_tau: float) -> Tensor:
        """Note what the shards' points shall expect."""
        del state, version
        self.expected_tau = expected_tau
        return params


def require_sliceable(setup: Setup, servers: int) -> None:
    """Refuse a rule that needs the whole vector. Raises: ValueError."""
    if servers > 1 and not getattr(setup.rule, "elementwise", False):
        raise ValueError(
            f"Expected a rule that acts on every element alike for {servers} servers, got "
            f"{setup.rule}, which needs the whole vector; use servers=1 or another rule (one's own "
            "says so by a property `elementwise`)."
        )


def stand_in_server(setup: Setup, differentiator: Trainee) -> Server:
    """The machine that decides the order."""
    buffers = differentiator.initial_buffers()
    return Server(
        torch.zeros(2, dtype=torch.float64),
        layout=_STAND_IN,
        rule=Tickets(setup.rule),
        policy=setup.policy,
        leases=LeaseBook(differentiator.num_samples, setup.task.batch_size),
        buffers=buffers if buffers.numel() else None,
        counters=differentiator.buffer_counters(),
        buffer_policy=setup.buffers,
        release_dropped=setup.release_dropped,
    )
