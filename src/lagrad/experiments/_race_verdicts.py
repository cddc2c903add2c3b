"""What a race has shown, and no more: means with intervals, and which differences are none of
chance."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ._experiment import Tables, Verdict
from ._race_runs import chosen
from ._race_terms import Race
from ._statistics import interval

#: A difference is called significant where chance alone gives one in fewer cases than this.
LEVEL = 0.05

#: So many are named in a sentence.
_NAMED = 4

#: Of each entrant the seconds of its seeds, in their order; the budget where it did not arrive.
Times = Mapping[str, np.ndarray]


def summary(race: Race, tables: Tables) -> pd.DataFrame:
    """A row for each delay model and entrant, the fastest first.

    mean_time: to the target, with the budget for a run that did not reach it, so that the mean is a
    lower bound where reached < runs. half_width: of its 95 % interval. rule: as tuned. edges: what
    of it lies at an end of its grid. p_slower: adjusted, of the difference from the fastest.
    """
    rows = []
    for delays, some in tables["report"].groupby("delays", sort=False):
        times = seconds(some)
        ranked = sorted(times, key=lambda name: float(times[name].mean()))
        p = adjusted(times)
        best = ranked[0]
        rules = {
            entrant.name: (entrant, rule)
            for where, entrant, rule in chosen(race, tables["tuning"])
            if where == delays
        }
        for name in ranked:
            runs = some[some.entrant == name]
            entrant, rule = rules[name]
            mean, half = interval(list(times[name]))
            rows.append(
                {
                    "delays": delays,
                    "entrant": name,
                    "mean_time": mean,
                    "half_width": half,
                    "reached": int((runs.time_to_target < math.inf).sum()),
                    "runs": len(runs),
                    "diverged": int((runs.stopped == "diverged").sum()),
                    "mean_score": float(runs.score.mean()),
                    "p_slower": p[frozenset((best, name))] if name != best else math.nan,
                    "rule": rule,
                    "edges": ", ".join(entrant.edges(rule)),
                }
            )
    return pd.DataFrame(rows)


def seconds(report: pd.DataFrame) -> Times:
    """The times of one delay model's runs, by entrant."""
    table = report.assign(seconds=report[["time_to_target", "budget"]].min(axis=1))
    return {
        str(name): rows.sort_values("seed").seconds.to_numpy()
        for name, rows in table.groupby("entrant", sort=False)
    }


def adjusted(times: Times) -> dict[frozenset[str], float]:
    """Of each pair the p value of paired t tests, two-sided, after Holm over all pairs.

    The seeds are shared, hence pairs. All pairs count, also where only those with the fastest are
    looked at, since who is the fastest is found in the same runs. A difference that is the same
    for every seed is none of chance.

    >>> p = adjusted({"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])})
    >>> p[frozenset(("a", "b"))]
    0.0
    """
    pairs = list(itertools.combinations(times, 2))
    raw = [_p_paired(times[one], times[other]) for one, other in pairs]
    order = np.argsort(raw, kind="stable")
    found, largest = {}, 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(pairs) - rank) * raw[at]))
        found[frozenset(pairs[at])] = largest
    return found


def _p_paired(one: np.ndarray, other: np.ndarray) -> float:
    difference = one - other
    if np.ptp(difference) == 0.0:
        return 0.0 if difference[0] else 1.0
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def verdicts(race: Race, tables: Tables) -> list[Verdict]:
    """A sentence for each delay model, and one on the grid."""
    table = summary(race, tables)
    found = [
        _winner(str(delays), rows, race.target)
        for delays, rows in table.groupby("delays", sort=False)
    ]
    edged = table[table.edges != ""]
    at = [f"{row.delays}, {row.entrant}: {row.edges}" for _, row in edged.iterrows()]
    found.append(
        Verdict(
            "Every tuned value lies inside its grid.",
            not at,
            f"{len(at)} of {len(table)} have one at an end, where a wider grid might do better"
            f"{': ' if at else ''}{_listed(at, '; ')}.",
        )
    )
    return found


def _winner(delays: str, rows: pd.DataFrame, target: str) -> Verdict:
    best, others = rows.iloc[0], rows.iloc[1:]
    if not rows.reached.any():
        return Verdict(
            f"{delays}: an entrant reaches {target} within the budget.",
            False,
            f"none of {len(rows)} did, in {rows.runs.sum()} runs.",
        )
    slower = [_named(row) for _, row in others[others.p_slower < LEVEL].iterrows()]
    even = [_named(row) for _, row in others[others.p_slower >= LEVEL].iterrows()]
    words = [f"{span(best)} to {target}"]
    if slower:
        words.append(f"significantly faster than {_listed(slower)}")
    if even:
        words.append(f"not told apart from {_listed(even)}")
    return Verdict(
        f"{delays}: {best.entrant} is the fastest.",
        None if even else True,
        f"{'; '.join(words)} (paired t tests over {best.runs} seeds, {LEVEL:.0%} in all, Holm).",
    )


def span(row: Any) -> str:
    """Mean and interval of one entrant, and how many of its runs they are of."""
    bound = "" if row.reached == row.runs else ">= "
    missing = "" if row.reached == row.runs else f", reached by {row.reached} of {row.runs}"
    return f"{bound}{row.mean_time:.4g} ± {row.half_width:.2g}{missing}"


def _named(row: Any) -> str:
    return f"{row.entrant} ({span(row)})"


def _listed(words: Sequence[str], separator: str = ", ") -> str:
    """The first few, and how many more the summary holds."""
    more = len(words) - _NAMED
    shown = [*words[:_NAMED], *([f"{more} more, see the summary"] if more > 0 else [])]
    return separator.join(shown)
