"""What a run leaves behind."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from torch import Tensor

from lagrad.chaos import Fault
from lagrad.core import Lease, Outcome, Verdict


def finite(number: float) -> float | None:
    """The number, or None where JSON cannot say it.

    >>> finite(float("nan")) is None
    True
    """
    return number if math.isfinite(number) else None


class RunFailed(RuntimeError):  # noqa: N818 -- it says what happened
    """A run could not go on: no worker is left, or the policy lets none go."""


class Stopped(StrEnum):
    """Why a run ended."""

    TARGET = "target"
    BUDGET = "budget"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True)
class Evaluation:
    """The scores of the parameters at one moment of the run's clock."""

    seconds: float
    version: int
    scores: dict[str, float]


@dataclass
class WorkerTally:
    """What became of one worker's pushes; staleness over the applied ones, in versions.

    quarantines: how often the worker was sent no work for a while, for its bad gradients.
    preemptions: how often its process was asked to end (SIGTERM) by somebody else, and did.
    """

    verdicts: Counter[Outcome] = field(default_factory=Counter)
    tau_min: int = 0
    tau_max: int = 0
    tau_sum: int = 0
    quarantines: int = 0
    preemptions: int = 0

    def count(self, verdict: Verdict) -> None:
        """Take in one verdict."""
        if verdict.outcome is Outcome.APPLIED:
            assert verdict.tau is not None
            first = not self.verdicts[Outcome.APPLIED]
            self.tau_min = verdict.tau if first else min(self.tau_min, verdict.tau)
            self.tau_max = max(self.tau_max, verdict.tau)
            self.tau_sum += verdict.tau
        self.verdicts[verdict.outcome] += 1

    @property
    def tau_mean(self) -> float:
        """Mean staleness of the applied gradients, 0 if there is none."""
        return mean_staleness([self])


def mean_staleness(tallies: Sequence[WorkerTally]) -> float:
    """Over the applied gradients of all these workers, in versions; 0 if there is none."""
    applied = sum(tally.verdicts[Outcome.APPLIED] for tally in tallies)
    return sum(tally.tau_sum for tally in tallies) / max(1, applied)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of a run.

    seconds: on the runtime's clock (virtual in the simulator). seconds_to_target: of the first
    evaluation that reached the target, or None. params: [P], the evaluated ones (averaged if the
    run averages). state_dict: the same under the model's names, with its buffers. workers: one
    tally each. total_momentum: as measured last, see `core.TotalMomentum`; None where it could not
    be told. digest: SHA-256 of the server's parameters. out: the run's folder, or None.
    failures: how each process that died did so: its traceback or exit code.
    given_up: of `launch`, the workers whose script failed by itself and was not started again.
    set_aside: the leases that nobody was sent any more, since workers had failed over them; their
    samples count as settled.
    rollbacks: how often the parameters went back because the loss had jumped.
    faults: those asked for, and how often each has happened.
    """

    stopped: Stopped
    seconds: float
    seconds_to_target: float | None
    updates: int
    epochs: float
    scores: dict[str, float]
    evaluations: tuple[Evaluation, ...]
    workers: tuple[WorkerTally, ...]
    params: Tensor = field(repr=False)
    state_dict: dict[str, Tensor] = field(repr=False)
    total_momentum: float | None = None
    digest: str = ""
    trace_sha256: str = ""
    out: Path | None = None
    failures: tuple[str, ...] = ()
    given_up: tuple[int, ...] = ()
    set_aside: tuple[Lease, ...] = ()
    rollbacks: int = 0
    faults: tuple[tuple[Fault, int], ...] = ()

    @property
    def reached(self) -> bool:
        """Whether the target was reached."""
        return self.seconds_to_target is not None

    @property
    def verdicts(self) -> Counter[Outcome]:
        """What became of all pushes."""
        return sum((tally.verdicts for tally in self.workers), Counter[Outcome]())

    @property
    def mean_staleness(self) -> float:
        """Over all applied gradients, in versions."""
        return mean_staleness(self.workers)

    def summary(self) -> dict[str, Any]:
        """The numbers, ready for JSON; without tensors."""
        return {
            "stopped": self.stopped.value,
            "reached": self.reached,
            "seconds": self.seconds,
            "seconds_to_target": self.seconds_to_target,
            "updates": self.updates,
            "epochs": self.epochs,
            "scores": {name: finite(score) for name, score in self.scores.items()},
            "verdicts": {outcome.value: self.verdicts[outcome] for outcome in Outcome},
            "mean_staleness": self.mean_staleness,
            "total_momentum": self.total_momentum,
            "workers": [
                {
                    **{outcome.value: tally.verdicts[outcome] for outcome in Outcome},
                    "tau_min": tally.tau_min,
                    "tau_mean": tally.tau_mean,
                    "tau_max": tally.tau_max,
                    "quarantines": tally.quarantines,
                    "preemptions": tally.preemptions,
                }
                for tally in self.workers
            ],
            "failures": list(self.failures),
            "given_up": list(self.given_up),
            "set_aside": sorted(lease.number for lease in self.set_aside),
            "rollbacks": self.rollbacks,
            "faults": [{"fault": repr(f), "struck": struck} for f, struck in self.faults],
            "digest": self.digest,
            "trace_sha256": self.trace_sha256,
            "out": None if self.out is None else str(self.out),
        }
