"""The contracts between the server and what is plugged into it."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from torch import Tensor

from ._layout import Layout
from ._ledger import Ledger
from ._messages import Push


class Gradient(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One gradient as a rule sees it.

    tau: staleness in versions, >= 0. samples: how many samples its mean is over, > 0.
    values: [P], read only. snapshot: [P], what that worker was sent, for rules that set
    `needs_snapshots`, else None. length: the Euclidean norm of the whole gradient, of which
    `values` may be a slice, if it is known already, else None; who changes the values takes it
    away. rates: factors on the learning rate that its worker tells, one for each group of
    parameters; empty: none told.
    """

    worker: int
    tau: int
    samples: int
    values: Tensor
    snapshot: Tensor | None = None
    length: float | None = None
    rates: tuple[float, ...] = ()


class Weight(Protocol):
    """A function of staleness or age in versions: w(0) = 1, in [0, 1], non-increasing."""

    def __hash__(self) -> int:
        """Weights are values."""
        ...

    def __call__(self, k: int, /) -> float:
        """The weight at `k` >= 0."""
        ...


class Rule(Protocol):
    """How gradients move the parameters: a formula on one flat vector.

    A rule is immutable; what changes lives in the state that `init` makes (a dataclass of
    tensors and numbers). It works in place on `params` and the state, which the server owns, and
    never writes to what it was given. Equal inputs give equal bits.
    """

    @property
    def needs_snapshots(self) -> bool:
        """Whether gradients must carry what their worker was sent (one vector per worker)."""
        ...

    @property
    def looks_ahead(self) -> bool:
        """Whether `point` makes use of `expected_tau`; else it is given 0."""
        ...

    def init(self, params: Tensor, layout: Layout) -> Any:
        """The state before the first step; `params` [P] is not kept."""
        ...

    def apply(
        self, params: Tensor, state: Any, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """Take step number `version` (from 0) with the gradients of one step, at least one."""
        ...

    def weight_of(self, tau: int, *, version: int, state: Any) -> float:
        """The factor with which a gradient late by `tau` entered step `version`; for verdicts.

        state: as the step has left it.
        """
        ...

    def point(self, params: Tensor, state: Any, *, version: int, expected_tau: float) -> Tensor:
        """What a worker is sent: `params` itself, or a new vector [P] ahead of it.

        Asked once a version, at most: all workers released between two steps are sent the answer,
        which the rule leaves alone from then on.
        expected_tau: how many steps the server is expected to take before the worker's gradient
        arrives (a running median of observed staleness).
        """
        ...


class Policy(Protocol):
    """When the server steps, who waits, what is dropped: pure questions on a read-only ledger."""

    def require_workers(self, workers: int) -> None:
        """Refuse a number of workers that could never make the step this policy waits for.

        Raises: ValueError saying how many it needs.
        """
        ...

    def accepts(self, push: Push, ledger: Ledger) -> str:
        """Empty to take the push into the step's buffer, else the reason why it is dropped."""
        ...

    def ready(self, ledger: Ledger) -> bool:
        """Whether the buffer, which holds at least one gradient, makes a step now."""
        ...

    def may_pull(self, worker: int, ledger: Ledger) -> bool:
        """Whether the worker gets parameters now, else it is held.

        Asked when the worker pulls; held workers are asked about again after a step, a join or
        leave, a Tick, and when the slowest clock (`ledger.floor`) moves. Nothing else may change
        the answer from no to yes, and where all workers are held, nothing else will happen.
        """
        ...

    def next_deadline(self, ledger: Ledger) -> float | None:
        """The time at which `ready` should be asked again though nothing arrived, or None."""
        ...
