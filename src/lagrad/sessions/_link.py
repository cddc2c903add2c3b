"""What a session needs of whoever holds the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lagrad.core import Lease, Rule

from ._groups import Group
from ._optimizer import Rates
from ._tracked import Tracked


@dataclass(frozen=True)
class Job:
    """What to differentiate: on which samples, at which point; read it before the next call.

    steps: how many local ones to take from there, where the worker takes them.
    """

    version: int
    lease: Lease
    point: Tensor
    buffers: Tensor
    steps: int


@dataclass(frozen=True)
class Finished:
    """No more jobs: the run is over. params, buffers: as trained."""

    params: Tensor
    buffers: Tensor


class Link(Protocol):
    """The way to a server, in this process or another one."""

    worker: int
    workers: int
    seed: int

    def describe(
        self, tracked: Tracked, rule: Rule | None, groups: Sequence[Group]
    ) -> tuple[Tensor, Tensor]:
        """Tell of the model, the rule and its groups; the run's parameters and buffers of now."""
        ...

    def begin(
        self, num_samples: int | None, batch_size: int, *, steps: int, by_speed: bool
    ) -> Job | Finished:
        """Ask for the first job; the arguments are those of `Begun`."""
        ...

    def gradient(self) -> Tensor:
        """Where the next gradient is to be written, [P]."""
        ...

    def deliver(self, buffers: Tensor, *, loss: float | None, rates: Rates) -> Job | Finished:
        """Hand in the gradient of the last job; the next one."""
        ...

    def pause(self) -> None:
        """Tell that no gradient of the last job is to be expected soon, or ever."""
        ...

    def resume(self) -> Job | Finished | None:
        """Take the job up again after `pause`; another one if it has been given away."""
        ...

    def trained(self) -> tuple[Tensor, Tensor]:
        """The evaluated parameters (averaged if the run averages), and their buffers; copies."""
        ...

    def scored(self, scores: dict[str, float]) -> None:
        """Tell the scores of what `trained` gave last."""
        ...

    def log(self, values: dict[str, float]) -> None:
        """Tell values for the run's records."""
        ...
