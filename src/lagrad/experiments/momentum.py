"""Figure 1 of the note: momentum against convergence and test performance, and what staleness does.

Once as in the note, one worker, and once with eight asynchronous ones whose gradients the momentum
takes as they arrive; each at a fixed learning rate and at one tuned for every momentum.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lagrad import train
from lagrad.delays import Gamma
from lagrad.plots import plot_momentum_curves, plot_momentum_times
from lagrad.policies import Asynchronous
from lagrad.rules import Momentum
from lagrad.runtimes import Result, Simulator, Until

from ._experiment import Cell, Experiment, Study, Tables, Verdict
from ._lenet import crossing, curve, watched_lenet
from ._statistics import words

#: Workers of each protocol; the momentum of both is that of the arriving gradients.
WORKERS = {"one worker": 1, "8 asynchronous": 8}
MOMENTA = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
#: The rate of Caffe's LeNet example, which the note's network is.
FIXED = 0.01
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
TUNING_SEED, SEEDS = 100, (0, 1, 2)
WATCHED = 2000
_EVERY = 10


def tuning_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """Protocol x momentum x learning rate, one seed."""
    del tables
    return [
        {"protocol": protocol, "momentum": momentum, "lr": lr, **_budget(quick)}
        for protocol in WORKERS
        for momentum in ((0.0, 0.9) if quick else MOMENTA)
        for lr in ((0.01, 0.1) if quick else RATES)
    ]


def report_cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """Protocol x momentum x (fixed, tuned learning rate) x seed."""
    best = tuned(tables["tuning"])
    return [
        {
            "protocol": protocol,
            "rate": rate,
            "momentum": momentum,
            "lr": lr if rate == "tuned" else FIXED,
            "seed": seed,
            **_budget(quick),
        }
        for (protocol, momentum), lr in best.items()
        for rate in ("fixed", "tuned")
        for seed in (SEEDS[:2] if quick else SEEDS)
    ]


def _budget(quick: bool) -> dict[str, int | float]:
    """How many updates, and the training accuracy whose time is measured."""
    return {"updates": 20, "target": 0.5} if quick else {"updates": 300, "target": 0.98}


def tuned(tuning: pd.DataFrame) -> dict[tuple[str, float], float]:
    """Of each protocol and momentum the rate that is first at the target; where none gets there,
    the one with the smallest training loss at the end; where all diverge, the smallest."""
    best = {}
    for _, rows in tuning.groupby(["protocol", "momentum"], sort=False):
        order = rows.assign(loss=rows.train_loss.fillna(math.inf))
        first = order.sort_values(["updates_to_target", "loss", "lr"]).iloc[0]
        best[str(first.protocol), float(first.momentum)] = float(first.lr)
    return best


def tune(
    protocol: str, momentum: float, lr: float, updates: int, target: float
) -> list[dict[str, Any]]:
    """One trial, which ends at the target."""
    rows = curve(_train(protocol, momentum, lr, TUNING_SEED, updates, target=target))
    return [
        {
            "updates_to_target": reached(pd.DataFrame(rows), target),
            "train_loss": rows[-1].get("train_loss"),
            "stopped": rows[-1]["stopped"],
        }
    ]


def report(  # noqa: PLR0917 -- the columns of a cell
    protocol: str, rate: str, momentum: float, lr: float, seed: int, updates: int, target: float
) -> list[dict[str, Any]]:
    """One run over all its updates: scores every ten of them."""
    del rate, target
    return curve(_train(protocol, momentum, lr, seed, updates))


def _train(
    protocol: str,
    momentum: float,
    lr: float,
    seed: int,
    updates: int,
    *,
    target: float | None = None,
) -> Result:
    workers = WORKERS[protocol]
    return train(
        watched_lenet(batch_size=256, watched=WATCHED),
        rule=Momentum(lr=lr, momentum=momentum),
        policy=Asynchronous(),
        runtime=Simulator(),
        workers=workers,
        delays=Gamma(),
        until=Until(
            updates=updates, target=None if target is None else f"train_accuracy>={target}"
        ),
        evaluate_every=_EVERY / workers,
        seed=seed,
    )


def reached(rows: pd.DataFrame, target: float) -> float:
    """Updates to the target training accuracy, inf if it was not reached."""
    if "train_accuracy" not in rows:
        return math.inf
    return crossing(list(zip(rows["update"], rows.train_accuracy, strict=True)), target)


def times(tables: Tables) -> pd.DataFrame:
    """Updates to the target, and the last training loss and test accuracy, of every run."""
    keys = ["protocol", "rate", "momentum", "lr", "seed"]
    report = tables["report"]
    rows = [
        {
            **dict(zip(keys, key, strict=True)),
            "updates_to_target": reached(some, float(some.target.iloc[0])),
            "train_loss": math.inf if _diverged(some) else float(some.train_loss.iloc[-1]),
            "accuracy": 0.0 if _diverged(some) else float(some.accuracy.iloc[-1]),
        }
        for key, some in report.groupby(keys, sort=False)
    ]
    return pd.DataFrame(rows)


def _diverged(rows: pd.DataFrame) -> bool:
    return bool((rows.stopped == "diverged").any())


def verdicts(tables: Tables) -> list[Verdict]:
    """Whether the best momentum is near 0.9, in each protocol."""
    target = float(tables["report"].target.max())
    found = []
    best: dict[tuple[str, str], float] = {}
    for (protocol, rate), rows in times(tables).groupby(["protocol", "rate"], sort=False):
        # Where no momentum gets there in time, the training loss at the end decides.
        there = rows.groupby("momentum").updates_to_target.max().min() < math.inf
        measure = "updates_to_target" if there else "train_loss"
        by = {
            float(some.momentum.iloc[0]): list(some[measure])
            for _, some in rows.groupby("momentum")
        }
        means = {momentum: sum(values) / len(values) for momentum, values in by.items()}
        first = min(means, key=means.__getitem__)
        best[str(protocol), str(rate)] = first
        what = f"updates to {target:.0%} training accuracy" if there else "training loss at the end"
        figures = "; ".join(f"{momentum:g}: {_words(values)}" for momentum, values in by.items())
        found.append(
            Verdict(
                f"{protocol}, {rate} learning rate: the best momentum is near 0.9.",
                means.get(0.9, math.inf) <= 1.1 * means[first],
                f"the best mean is that of {first:g}; near is what is at most a tenth above it. "
                f"By momentum, {what}: {figures}.",
            )
        )
    for rate in ("fixed", "tuned"):
        one, eight = best["one worker", rate], best["8 asynchronous", rate]
        found.append(
            Verdict(
                f"With 8 asynchronous workers the best momentum is smaller ({rate} learning rate).",
                eight < one,
                f"{one:g} with one worker, {eight:g} with eight; asynchrony alone is predicted to "
                "act as a momentum of 1 - 1/8 = 0.875 (Mitliagkas et al. 2016).",
            )
        )
    return found


def _words(values: list[float]) -> str:
    return words(values) if max(values) < math.inf else "not in every seed"


def _draw_times(tables: Tables, path: Any) -> Any:
    return plot_momentum_times({"times": times(tables), **tables}, path)


EXPERIMENT = Experiment(
    name="momentum",
    title="momentum against convergence and test performance of LeNet (the note's Figure 1)",
    studies=(Study("tuning", tuning_cells, tune), Study("report", report_cells, report)),
    figures={"momentum-curves": plot_momentum_curves, "momentum-times": _draw_times},
    verdicts=verdicts,
)
