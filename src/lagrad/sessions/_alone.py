"""A script that runs alone: the server in its own process, one worker."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lagrad.core import Join, LeaseBook, Pull, Push, Rule, Send, Server
from lagrad.policies import Asynchronous
from lagrad.rules import default_rule

from ._groups import Group, led, require_no_factors
from ._link import Finished, Job
from ._optimizer import Rates
from ._tracked import Tracked


class Alone:
    """Ordinary training: with one worker nothing is late."""

    worker = 0
    workers = 1

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._sequence = 0

    def describe(
        self, tracked: Tracked, rule: Rule | None, groups: Sequence[Group]
    ) -> tuple[Tensor, Tensor]:
        """See `Link`."""
        self._tracked = tracked
        self._rule = led(default_rule(1) if rule is None else rule, groups)
        self._params, self._buffers = tracked.pack(), tracked.pack_buffers()
        self._gradient = torch.zeros_like(self._params)
        return self._params, self._buffers

    def begin(
        self, num_samples: int | None, batch_size: int, *, steps: int, by_speed: bool
    ) -> Job | Finished:
        """See `Link`; a single worker is the fastest."""
        del by_speed
        self._steps = steps
        self._server = Server(
            self._params,
            layout=self._tracked.layout,
            rule=self._rule,
            policy=Asynchronous(),
            leases=LeaseBook(num_samples, batch_size),
            buffers=self._buffers if self._buffers.numel() else None,
            counters=torch.tensor(self._tracked.counters(), dtype=torch.bool),
        )
        self._server.handle(Join(worker=0))
        return self._pull()

    def gradient(self) -> Tensor:
        """See `Link`."""
        return self._gradient

    def deliver(self, buffers: Tensor, *, loss: float | None, rates: Rates) -> Job | Finished:
        """See `Link`."""
        del loss
        require_no_factors(self._rule, rates)
        push = Push(
            worker=0,
            sequence=self._sequence,
            version=self._job.version,
            lease=self._job.lease.number,
            values=self._gradient,
            loss=None,
            buffers=buffers if buffers.numel() else None,
            rates=rates,
        )
        self._sequence += 1
        self._server.handle(push)
        return self._pull()

    def _pull(self) -> Job:
        (sent,) = self._server.handle(Pull(worker=0))
        assert isinstance(sent, Send)
        buffers = self._buffers if sent.buffers is None else sent.buffers
        self._job = Job(sent.version, sent.lease, sent.point, buffers, self._steps)
        return self._job

    def pause(self) -> None:
        """Nobody waits for a script that runs alone."""

    def resume(self) -> None:
        """See `Link`; the job is kept."""

    def trained(self) -> tuple[Tensor, Tensor]:
        """See `Link`."""
        server = getattr(self, "_server", None)
        if server is None:
            return self._params.clone(), self._buffers.clone()
        buffers = self._buffers if server.buffers is None else server.buffers
        return server.evaluation_params.clone(), buffers.clone()

    def scored(self, scores: dict[str, float]) -> None:
        """A script that runs alone keeps no records."""

    def log(self, values: dict[str, float]) -> None:
        """A script that runs alone keeps no records."""
