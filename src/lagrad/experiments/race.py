"""A fair race: everyone is tuned with as many trials, then runs with other seeds."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lagrad import train
from lagrad.plots import plot_race_profile, plot_race_times
from lagrad.runtimes import Simulator, Until

from ._experiment import Experiment
from ._race_runs import studies
from ._race_terms import Race
from ._race_verdicts import summary, verdicts
from ._reproduce import Progress, Reproduction, reproduce


def race(
    terms: Race, out: Path | str, *, processes: int = 1, progress: Progress | None = None
) -> Reproduction:
    """Tune every entrant, then let the tuned ones run with other seeds, under each delay model.

    Every entrant gets as many trials from the same grid, the same seeds and the same budget. Runs
    that did not arrive, diverged or failed stay in the tables, with an infinite time.
    out: a folder, new or of an earlier call, which goes on where that one stopped. Left there:
    tuning.csv, report.csv, summary.csv, race.png, profile.png, both also as SVG, report.md.
    processes: side by side; 1 in real time, where runs would slow each other. progress: see
    `reproduce`; None for none.
    Returns: tables "tuning", "report" and "summary", the figures, the verdicts.
    Raises: ValueError before anything runs, for what does not fit; KeyboardInterrupt on Ctrl+C,
    with the finished runs in their tables.
    """
    if terms.runtime == "local" and processes != 1:
        raise ValueError(
            f"Expected 1 process for a race in real time, got {processes}; runs side by side would "
            "slow each other."
        )
    _try_out(terms)
    return reproduce(
        experiment(terms),
        Path(out),
        quick=False,
        processes=processes,
        progress=_silent if progress is None else progress,
    )


def experiment(terms: Race) -> Experiment:
    """The race as an experiment."""
    return Experiment(
        name="race",
        title=f"{len(terms.field)} entrants to {terms.target} on {terms.task}, "
        f"{terms.workers} workers",
        studies=studies(terms),
        figures={"race": plot_race_times, "profile": plot_race_profile},
        verdicts=partial(verdicts, terms),
        summary=partial(summary, terms),
        command=terms.command,
    )


def _try_out(terms: Race) -> None:
    """One update, which says what is wrong with the task, the target or the averaging."""
    entrant = terms.field[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # as every run of the race
        train(
            terms.task,
            rule=entrant.trials[0].rule,
            policy=entrant.policy,
            runtime=Simulator(),
            workers=terms.workers,
            until=Until(updates=1, target=terms.target),
            ema=terms.ema,
            evaluate_every=terms.every,
        )


@contextmanager
def _silent(what: str, count: int) -> Iterator[Callable[[], None]]:
    del what, count
    yield lambda: None
