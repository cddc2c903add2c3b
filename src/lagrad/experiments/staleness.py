"""An appropriate staleness: time to a target over the quorum, with late gradients kept, dropped or
damped, under three kinds of stragglers (the note's second next step)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from scipy import stats

from lagrad import train
from lagrad.core import Policy
from lagrad.delays import Bursts, Delays, HeterogeneousGamma, Stragglers
from lagrad.plots import plot_staleness
from lagrad.policies import KAsync, KSync
from lagrad.rules import Momentum
from lagrad.runtimes import Simulator, Until
from lagrad.weights import Constant, Exponential

from ._experiment import Cell, Experiment, Study, Tables, Verdict
from ._lenet import crossing, curve, watched_lenet
from ._statistics import words

N = 8
MODELS: dict[str, Delays] = {
    "stragglers": Stragglers(),
    "bursts": Bursts(),
    "heterogeneous": HeterogeneousGamma(),
}
#: What becomes of gradients that miss their step.
LATE = ("kept", "dropped", "damped")
DAMPING = Exponential(0.5)
RATES = (0.004, 0.01, 0.025, 0.0625, 0.16)
MOMENTUM = 0.9
TUNING_SEED, SEEDS = 100, (0, 1, 2)
WATCHED = 1000
_EVERY = 4.0

_GRID = ["delays", "late", "quorum"]


def tuning_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """Straggler model x late x quorum x learning rate; with a quorum of all nothing is late."""
    del tables
    return [
        {"delays": delays, "late": late, "quorum": quorum, "lr": lr, **_budget(quick)}
        for delays in (("bursts",) if quick else MODELS)
        for quorum in ((2, 8) if quick else range(1, N + 1))
        for late in (("none",) if quorum == N else LATE)
        for lr in ((0.025,) if quick else RATES)
    ]


def report_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """The same at the tuned learning rate, for each seed."""
    return [
        {**where, "lr": lr, "seed": seed, **_budget(quick)}
        for where, lr in tuned(tables["tuning"])
        for seed in (SEEDS[:2] if quick else SEEDS)
    ]


def _budget(quick: bool) -> dict[str, int | float]:
    """How many gradients can be applied, and the accuracy whose time is measured."""
    return {"gradients": 120, "target": 0.6} if quick else {"gradients": 800, "target": 0.95}


def tuned(tuning: pd.DataFrame) -> list[tuple[dict[str, Any], float]]:
    """Of each combination the rate that is first at the target; where none gets there, the most
    accurate one at the end."""
    found: list[tuple[dict[str, Any], float]] = []
    for _, rows in tuning.groupby(_GRID, sort=False):
        order = rows.assign(error=1.0 - rows.accuracy.fillna(0.0))
        best = order.sort_values(["time_to_target", "error"]).iloc[0]
        where = {"delays": str(best.delays), "late": str(best.late), "quorum": int(best.quorum)}
        found.append((where, float(best.lr)))
    return found


def tune(  # noqa: PLR0917 -- the columns of a cell
    delays: str, late: str, quorum: int, lr: float, gradients: int, target: float
) -> list[dict[str, Any]]:
    """One trial with the seed of the tuning."""
    return report(delays, late, quorum, lr, TUNING_SEED, gradients, target)


def report(  # noqa: PLR0917 -- the columns of a cell
    delays: str, late: str, quorum: int, lr: float, seed: int, gradients: int, target: float
) -> list[dict[str, Any]]:
    """One run until the target: virtual time in mean jobs of a healthy worker."""
    policy: Policy = KSync(quorum) if late == "dropped" else KAsync(quorum)
    weight = DAMPING if late == "damped" else Constant()
    result = train(
        watched_lenet(batch_size=64, watched=WATCHED),
        rule=Momentum(lr=lr, momentum=MOMENTUM, weight=weight),
        policy=policy,
        runtime=Simulator(),
        workers=N,
        delays=MODELS[delays],
        until=Until(updates=gradients // quorum, target=f"accuracy>={target}"),
        evaluate_every=_EVERY,
        seed=seed,
    )
    rows = curve(result)
    points = [(row["time"], row.get("accuracy", 0.0)) for row in rows]
    return [
        {
            "time_to_target": crossing(points, target),
            "accuracy": points[-1][1],
            "updates": result.updates,
            "mean_tau": result.mean_staleness,
            "stopped": result.stopped.value,
        }
    ]


def verdicts(tables: Tables) -> list[Verdict]:
    """Whether a quorum in the middle wins, and what late gradients are good for."""
    report = tables["report"]
    found = []
    for delays, rows in report.groupby("delays", sort=False):
        by = {(late, quorum): some.time_to_target for (late, quorum), some in _groups(rows)}
        reference = by["none", N]
        best = min(by, key=lambda key: float(by[key].mean()))
        others = {key: values for key, values in by.items() if key != ("none", N)}
        found.append(_sooner(str(delays), best, by[best], reference))
        for late in LATE:
            some = {q: v for (kind, q), v in others.items() if kind == late}
            quorum = min(some, key=lambda q: float(some[q].mean()))
            ends = [reference, *([some[1]] if 1 in some else [])]
            found.append(
                Verdict(
                    f"{delays}, late gradients {late}: a quorum between 1 and {N} is the fastest.",
                    quorum > 1 and all(_before(some[quorum], end) for end in ends),
                    f"{quorum} of {N}: {_words(some[quorum])} mean jobs to the target, "
                    f"1 of {N}: {_words(some[1]) if 1 in some else 'not run'}, "
                    f"synchronous: {_words(reference)}.",
                )
            )
    return found


def _groups(rows: pd.DataFrame) -> list[tuple[tuple[str, int], pd.DataFrame]]:
    grouped = rows.groupby(["late", "quorum"], sort=False)
    return [((str(key[0]), int(key[1])), some) for key, some in grouped]  # type: ignore[call-overload]


def _before(one: "pd.Series[float]", other: "pd.Series[float]") -> bool:
    """Whether the first mean is smaller, by Welch's test at 5 %; who never arrives is later."""
    if one.max() == float("inf") or other.max() == float("inf"):
        return bool(one.max() < other.max())
    return bool(stats.ttest_ind(one, other, equal_var=False, alternative="less").pvalue < 0.05)


def _sooner(
    delays: str, best: tuple[str, int], times: "pd.Series[float]", reference: "pd.Series[float]"
) -> Verdict:
    late, quorum = best
    ratio = float(reference.mean()) / float(times.mean())
    return Verdict(
        f"{delays}: not waiting for all is faster than synchronous training.",
        best != ("none", N) and _before(times, reference),
        f"the fastest is a quorum of {quorum} with late gradients {late}, {_words(times)} mean "
        f"jobs to the target, synchronous {_words(reference)}: {ratio:.2g} times.",
    )


def _words(times: "pd.Series[float]") -> str:
    if times.max() < float("inf"):
        return words(list(times))
    return f"reached by {int((times < float('inf')).sum())} of {len(times)} seeds"


EXPERIMENT = Experiment(
    name="staleness",
    title="an appropriate staleness: LeNet, 8 workers, the quorum and what becomes of the late",
    studies=(Study("tuning", tuning_cells, tune), Study("report", report_cells, report)),
    figures={"staleness": plot_staleness},
    verdicts=verdicts,
)
