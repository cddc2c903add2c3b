"""The demonstration: LeNet on MNIST with four workers, one of them six times slower."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lagrad import train
from lagrad.core import Outcome, Policy, Rule
from lagrad.delays import Factors
from lagrad.plots import Curve, plot_race
from lagrad.policies import BackupWorkers, KFresh, Synchronous
from lagrad.rules import Clipped, Momentum, default_rule
from lagrad.runtimes import Local, Result, Stopped, Until, write_whole
from lagrad.schedules import Constant, Warmup

WORKERS = 4
SLOW = Factors(((0, 6.0),))
TARGET = 0.985
BUDGET_S = 330.0
_EVALUATE_EVERY_S = 2.0
#: Set beside the results, so that a second demo replaces its own folder and no other.
_MARK = "summary.json"


#: The same for all entrants, counted in gradients: a linear warm-up of the learning rate, and the
#: memory of the averaged weights that are evaluated.
WARMUP_GRADIENTS = 60
AVERAGED_GRADIENTS = 20

#: What was tuned: every pair of these for every entrant, by benchmarks/tune_demo.py.
LEARNING_RATES = (0.08, 0.112, 0.16, 0.224, 0.3)
MOMENTA = (0.8, 0.9)
#: Every pair was tried with each of these; the demonstration itself takes another.
TUNING_SEEDS = (101, 102, 103)
#: Fresh gradients that each trial could spend.
BUDGET_GRADIENTS = 480


@dataclass(frozen=True)
class Entrant:
    """One way to train, but for the learning rate and momentum that are tuned.

    gradients: how many fresh ones make a step. dated: whether the rule is lagrad's own.
    """

    name: str
    policy: Policy
    gradients: int
    dated: bool = False

    def rule(self, lr: float, momentum: float) -> Rule:
        """The entrant's rule at a point of the grid."""
        rate = Warmup(Constant(lr), updates=WARMUP_GRADIENTS // self.gradients)
        if not self.dated:
            return Clipped(Momentum(lr=rate, momentum=momentum))
        return default_rule(WORKERS, lr=rate, momentum=momentum)

    @property
    def ema(self) -> float:
        """Decay per step of the averaged weights."""
        return float((1.0 - 1.0 / AVERAGED_GRADIENTS) ** self.gradients)


ENTRANTS = (
    Entrant("synchronous", Synchronous(), gradients=WORKERS),
    Entrant("backup-workers", BackupWorkers(1), gradients=WORKERS - 1),
    Entrant("lagrad", KFresh(WORKERS - 1), gradients=WORKERS - 1, dated=True),
)

#: (learning rate, momentum) of each: the pair whose slowest seed was first at the target, of those
#: with which every seed gets there at the next larger learning rate of the grid, too.
TUNED = {
    "synchronous": (0.112, 0.9),
    "backup-workers": (0.224, 0.8),
    "lagrad": (0.224, 0.8),
}


def statement() -> str:
    """What was tuned, in words."""
    found = ", ".join(f"{name} {lr:g} / {beta:.4g}" for name, (lr, beta) in TUNED.items())
    return (
        f"Tuned on the same {len(LEARNING_RATES) * len(MOMENTA)} pairs, each with "
        f"{len(TUNING_SEEDS)} other seeds and {BUDGET_GRADIENTS} fresh gradients, in the "
        "simulator:\n"
        f"learning rate {', '.join(map(str, LEARNING_RATES))} x momentum "
        f"{', '.join(map(str, MOMENTA))}.\nUsed, of each the pair whose slowest seed was first at "
        f"the target, with a margin: every seed got there at the next larger learning rate, too: "
        f"{found}.\n"
        "The same for all, not tuned: gradients clipped to twice their running median norm, "
        f"warm-up over {WARMUP_GRADIENTS} gradients, "
        f"weights averaged over about {AVERAGED_GRADIENTS} gradients."
    )


@dataclass(frozen=True)
class Outcomes:
    """The rows of the table, whether all reached the target, and whether a person stopped it."""

    rows: list[dict[str, Any]]
    complete: bool
    interrupted: bool


def clear(out: Path) -> None:
    """Make `out`, a new folder or one of an earlier demo, empty but for an empty summary.

    Raises: ValueError if it holds anything else.
    """
    if out.exists() and not _replaceable(out):
        raise ValueError(
            f"Expected a new folder or one of an earlier demo, got {out}; "
            "name another one with --out or remove it."
        )
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    _write_summary(out, [])


def _replaceable(out: Path) -> bool:
    if not out.is_dir():
        return False
    own = {_MARK, "race.png", *(entrant.name for entrant in ENTRANTS)}
    found = {path.name for path in out.iterdir()}
    return not found or (_MARK in found and found <= own)


def run(
    out: Path,
    *,
    seed: int,
    progress: Callable[[str], Any],
    say: Callable[[str], None],
) -> Outcomes:
    """Race the entrants one after the other; write summary.json, race.png and a folder for each.

    out: as `clear` leaves it. progress: makes a context manager that is an observer, given a
    title. say: prints a line.
    """
    say(
        f"LeNet on MNIST, {WORKERS} worker processes, worker 0 six times slower, batch 256 each, "
        f"target {TARGET:.1%} test accuracy, seed {seed}.\n{statement()}"
    )
    results: list[tuple[Entrant, Result]] = []
    for entrant in ENTRANTS:
        with progress(entrant.name) as observer:
            result = train(
                "lenet-mnist",
                rule=entrant.rule(*TUNED[entrant.name]),
                policy=entrant.policy,
                runtime=Local(),
                workers=WORKERS,
                delays=SLOW,
                until=Until(target=f"accuracy>={TARGET}", seconds=BUDGET_S),
                evaluate_every=_EVALUATE_EVERY_S,
                ema=entrant.ema,
                seed=seed,
                out=out / entrant.name,
                observe=observer,
            )
        results.append((entrant, result))
        rows = [_row(entrant, result) for entrant, result in results]
        _write_summary(out, rows)
        if result.stopped is Stopped.INTERRUPTED:
            return Outcomes(rows, complete=False, interrupted=True)
    say(table(rows))
    figure = plot_race(
        [_curve(entrant, result) for entrant, result in results],
        out / "race.png",
        title="LeNet on MNIST, 4 workers, one of them six times slower",
        target=TARGET,
        score="test accuracy",
    )
    say(f"\n{verdict(rows)}\nFigure: {figure}   Table: {out / _MARK}")
    return Outcomes(rows, complete=all(row["reached"] for row in rows), interrupted=False)


def _row(entrant: Entrant, result: Result) -> dict[str, Any]:
    return {
        "policy": entrant.name,
        "reached": result.reached,
        "seconds_to_target": result.seconds_to_target,
        "final_accuracy": result.scores.get("accuracy"),
        "applied": result.verdicts[Outcome.APPLIED],
        "dropped": result.verdicts[Outcome.DROPPED],
        "mean_staleness": result.mean_staleness,
    }


def _curve(entrant: Entrant, result: Result) -> Curve:
    points = [(e.seconds, e.scores["accuracy"]) for e in result.evaluations]
    return Curve(entrant.name, points, result.seconds_to_target)


def _write_summary(out: Path, rows: list[dict[str, Any]]) -> None:
    write_whole(out / _MARK, (json.dumps(rows, indent=2) + "\n").encode())


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text."""
    head = (
        f"\n{'policy':<16}{'seconds to target':>19}{'final accuracy':>16}"
        f"{'applied':>9}{'dropped':>9}{'mean staleness':>16}"
    )
    lines = [head]
    for row in rows:
        seconds = row["seconds_to_target"]
        accuracy = row["final_accuracy"]
        lines.append(
            f"{row['policy']:<16}{'not reached' if seconds is None else f'{seconds:.1f}':>19}"
            f"{'-' if accuracy is None else f'{accuracy:.2%}':>16}"
            f"{row['applied']:>9}{row['dropped']:>9}{row['mean_staleness']:>16.2f}"
        )
    return "\n".join(lines)


def verdict(rows: list[dict[str, Any]]) -> str:
    """What the race showed, in one sentence that claims no more than this one run."""
    times = {row["policy"]: row["seconds_to_target"] for row in rows}
    ours = times["lagrad"]
    if ours is None:
        return "In this run lagrad did not reach the target."
    parts = []
    for name in ("synchronous", "backup-workers"):
        theirs = times[name]
        if theirs is None:
            parts.append(f"{name} did not reach it within {BUDGET_S:.0f} s")
        elif theirs < ours:
            parts.append(f"{ours / theirs:.1f} times later than {name}")
        else:
            parts.append(f"{theirs / ours:.1f} times sooner than {name}")
    return f"In this run lagrad reached the target after {ours:.1f} s: {', '.join(parts)}."
