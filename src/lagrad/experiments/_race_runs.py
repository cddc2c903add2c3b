"""The runs of a race: every trial with the seeds of the tuning, the best with the report's."""

import math
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd

from lagrad import train
from lagrad.runtimes import Local, RunFailed, Simulator, Stopped, Target, Until

from ._experiment import Cell, Study, Tables
from ._lenet import crossing
from ._race_entrants import Entrant
from ._race_terms import FIRST_TUNING_SEED, Race


def studies(race: Race) -> tuple[Study, Study]:
    """The tables `tuning` and `report`: a row for each run."""
    return (
        Study("tuning", partial(_tuning_cells, race), run),
        Study("report", partial(_report_cells, race), run),
    )


def _tuning_cells(race: Race, quick: bool, tables: Tables) -> Sequence[Cell]:
    del quick, tables
    return [
        _cell(race, entrant, delays, trial.rule, FIRST_TUNING_SEED + seed)
        for delays in race.delays
        for entrant in race.field
        for trial in entrant.trials
        for seed in range(race.tuning_seeds)
    ]


def _report_cells(race: Race, quick: bool, tables: Tables) -> Sequence[Cell]:
    del quick
    return [
        _cell(race, entrant, delays, rule, seed)
        for delays, entrant, rule in chosen(race, tables["tuning"])
        for seed in range(race.report_seeds)
    ]


def _cell(race: Race, entrant: Entrant, delays: str, rule: str, seed: int) -> Cell:
    return {
        "delays": delays,
        "entrant": entrant.name,
        "rule": rule,
        "policy": entrant.policy,
        "seed": seed,
        "task": race.task,
        "workers": race.workers,
        "target": race.target,
        "budget": float(race.budget),
        "evaluate_every": race.every,
        "ema": race.ema or 0.0,
        "runtime": race.runtime,
    }


def run(  # noqa: PLR0917 -- the columns of a cell
    delays: str,
    entrant: str,
    rule: str,
    policy: str,
    seed: int,
    task: str,
    workers: int,
    target: str,
    budget: float,
    evaluate_every: float,
    ema: float,
    runtime: str,
) -> list[dict[str, Any]]:
    """One run, to the target, the end of the budget, or where it diverged.

    ema: 0 for none. time_to_target: between two evaluations linearly, inf if not reached; score:
    the last one.
    """
    del entrant  # a name for the tables
    goal = Target.parse(target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a grid reaches beyond the limit of stability
        try:
            result = train(
                task,
                rule=rule,
                policy=policy,
                runtime=Local() if runtime == "local" else Simulator(),
                workers=workers,
                until=Until(seconds=budget, target=goal),
                seed=seed,
                delays=delays,
                ema=ema or None,
                evaluate_every=evaluate_every,
            )
        except RunFailed:
            return [_row(Stopped.FAILED)]
    if result.stopped is Stopped.INTERRUPTED:  # by the terminal's Ctrl+C, as all processes are
        raise KeyboardInterrupt
    sign = 1.0 if goal.at_least else -1.0
    points = [(each.seconds, sign * each.scores[goal.metric]) for each in result.evaluations]
    return [
        _row(
            result.stopped,
            time_to_target=crossing(points, sign * goal.value),
            score=sign * points[-1][1] if points else math.nan,
            updates=result.updates,
            mean_tau=result.mean_staleness,
        )
    ]


def _row(
    stopped: Stopped,
    *,
    time_to_target: float = math.inf,
    score: float = math.nan,
    updates: int = 0,
    mean_tau: float = 0.0,
) -> dict[str, Any]:
    return {
        "time_to_target": time_to_target,
        "score": score,
        "updates": updates,
        "mean_tau": mean_tau,
        "stopped": stopped.value,
    }


def chosen(race: Race, tuning: pd.DataFrame) -> Iterator[tuple[str, Entrant, str]]:
    """Of each delay model and entrant the rule of its best trial.

    The best is the first at the target in the mean, where a run that does not reach it takes for
    ever; where no trial always arrives, the one with the best last score in the mean, where one
    that diverged has none.
    """
    loss = -tuning.score if race.goal.at_least else tuning.score
    rows = tuning.assign(loss=loss.fillna(math.inf))
    means = rows.groupby(["delays", "entrant", "rule"])[["time_to_target", "loss"]].mean()
    ranks = {key: tuple(row) for key, row in zip(means.index, means.to_numpy(), strict=True)}
    for delays in race.delays:
        for entrant in race.field:
            # Of trials that are equal, the first stands.
            best = min(entrant.trials, key=lambda trial: ranks[delays, entrant.name, trial.rule])
            yield delays, entrant, best.rule
