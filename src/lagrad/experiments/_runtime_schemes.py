"""The schemes of Dutta et al. and lagrad's own, by name: how to simulate them, what is known."""

import math
from dataclasses import dataclass

from scipy import stats

from lagrad import theory
from lagrad.delays import Delays, Pareto, ShiftedExponential
from lagrad.policies import KAsync, KBatchAsync, KBatchSync, KSync
from lagrad.runtimes import Timing, time_steps

WORKERS = 8

#: Times of a job: for the simulation, and for the formulas.
TIMES: dict[str, tuple[Delays, theory.Times]] = {
    "exp(1)": (ShiftedExponential(shift=0.0, mean=1.0), stats.expon()),
    "1 + exp(1)": (ShiftedExponential(shift=1.0, mean=1.0), stats.expon(loc=1.0)),
    "Pareto(2, 1)": (Pareto(shape=2.0, minimum=1.0), stats.pareto(2.0)),
}


@dataclass(frozen=True)
class Known:
    """A time per step by formula: "exact", "numerical" or a "bound" from above; or "none"."""

    time: float
    how: str


_NONE = Known(math.nan, "none")


def _k_sync(times: theory.Times, quorum: int) -> Known:
    return Known(theory.k_sync_time(times, workers=WORKERS, quorum=quorum), "exact")


def _k_batch_sync(times: theory.Times, quorum: int) -> Known:
    time = theory.k_batch_sync_time(times, workers=WORKERS, quorum=quorum)
    return Known(time, "exact" if _memoryless(times) else "numerical")


def _k_async(times: theory.Times, quorum: int) -> Known:
    if quorum == 1:  # nobody waits
        return _k_batch_async(times, quorum)
    if quorum == WORKERS:  # everybody does
        return _k_sync(times, quorum)
    if not theory.is_new_longer_than_used(times):
        return _NONE
    bound = theory.k_async_bound(times, workers=WORKERS, quorum=quorum)
    return Known(bound, "exact" if _memoryless(times) else "bound")


def _memoryless(times: theory.Times) -> bool:
    return times.dist.name == "expon" and bool(times.support()[0] == 0)


def _k_batch_async(times: theory.Times, quorum: int) -> Known:
    return Known(theory.k_batch_async_time(times, workers=WORKERS, quorum=quorum), "exact")


def known_time(scheme: str, times: theory.Times, quorum: int) -> Known:
    """What the formulas say of a scheme's time per step."""
    match scheme:
        case "K-sync":
            return _k_sync(times, quorum)
        case "K-batch-sync":
            return _k_batch_sync(times, quorum)
        case "K-async":
            return _k_async(times, quorum)
        case "K-batch-async":
            return _k_batch_async(times, quorum)
        case _:
            return _NONE


#: The published schemes; the first two end the jobs that run when a step is taken.
PUBLISHED = ("K-sync", "K-batch-sync", "K-async", "K-batch-async")
#: What a runtime that cannot end a job makes of those two.
_LATE = ", not cancelled"
UNCANCELLED = (f"K-sync{_LATE}", f"K-batch-sync{_LATE}")

_POLICIES: dict[str, type[KSync | KBatchSync | KAsync | KBatchAsync]] = {
    "K-sync": KSync,
    "K-batch-sync": KBatchSync,
    "K-async": KAsync,
    "K-batch-async": KBatchAsync,
}


def simulate(scheme: str, times: str, *, quorum: int, steps: int, seeds: range) -> Timing:
    """Steps of a scheme by the timing path."""
    policy = _POLICIES[scheme.removesuffix(_LATE)](quorum)
    return time_steps(
        policy,
        TIMES[times][0],
        workers=WORKERS,
        steps=steps,
        seeds=seeds,
        cancel=scheme in ("K-sync", "K-batch-sync"),
    )


def expected_staleness(scheme: str, quorum: int) -> float:
    """Mean staleness by counting: of any times."""
    match scheme:
        case "K-async":
            return theory.k_async_staleness(workers=WORKERS, quorum=quorum)
        case "K-batch-async":
            return theory.k_batch_async_staleness(workers=WORKERS, quorum=quorum)
        case _:
            return 0.0


def expected_fresh(scheme: str, times: str, quorum: int) -> float:
    """P(tau = 0) where it is known, else NaN: the asynchronous ones with exponential times."""
    if scheme not in ("K-async", "K-batch-async"):
        return 1.0
    if times != "exp(1)":
        return math.nan
    known = theory.k_async_fresh if scheme == "K-async" else theory.k_batch_async_fresh
    return known(workers=WORKERS, quorum=quorum)
