"""What the tables of the experiment `runtime` show, in words."""

import itertools

import numpy as np
import pandas as pd

from ._experiment import Tables, Verdict
from ._runtime_schemes import UNCANCELLED, WORKERS
from ._statistics import interval, words

#: P = 8, K = 4, exp(1) in the paper, by scheme and quorum.
_PRINTED = {
    ("K-sync", 8): 2.718,
    ("K-sync", 4): 0.6345,
    ("K-async", 4): 0.6345,
    ("K-batch-sync", 4): 0.5,
    ("K-batch-async", 4): 0.5,
    ("K-batch-async", 1): 0.125,
}


def verdicts(tables: Tables) -> list[Verdict]:
    """All claims, each from the tables."""
    steps = tables["steps"]
    gaps = _gaps(tables)
    return [
        _formulas(steps),
        _printed(steps),
        _ratio(steps),
        _bound(steps),
        _pareto(steps),
        _mean_staleness(steps),
        _fresh(steps),
        _not_cancelled(steps),
        _speed(gaps),
        _floor(gaps),
        _cost_of_staleness(gaps),
    ]


def _row(steps: pd.DataFrame, times: str, scheme: str, quorum: int) -> pd.Series:
    chosen = (steps.times == times) & (steps.scheme == scheme) & (steps.quorum == quorum)
    return steps[chosen].iloc[0]


def _formulas(steps: pd.DataFrame) -> Verdict:
    rows = steps[steps.how.isin(["exact", "numerical"])]
    off = (rows.time - rows.theory).abs()
    agrees = off <= np.maximum(rows.half_width, 0.01 * rows.theory)
    share = off / rows.theory
    worst = rows.iloc[int(share.to_numpy().argmax())]
    return Verdict(
        "The formulas for the time per step agree with the simulation within its 99.99 % interval "
        "or 1 %.",
        bool(agrees.all()),
        f"{agrees.sum()} of {len(rows)} (times, scheme, K) do; median deviation "
        f"{share.median():.2%}, largest {share.max():.2%} ({worst.scheme}, K = {worst.quorum}, "
        f"{worst.times}, interval ± {worst.half_width / worst.theory:.2%}).",
    )


def _printed(steps: pd.DataFrame) -> Verdict:
    rows = [(_row(steps, "exp(1)", *key), printed) for key, printed in _PRINTED.items()]
    holds = all(abs(row.time - printed) <= 0.01 * printed for row, printed in rows)
    listed = ", ".join(
        f"{row.scheme} K = {row.quorum} {row.time:.4g} ({printed:g})" for row, printed in rows
    )
    return Verdict(
        "The paper's figures for 8 workers and exp(1) come out within 1 %.",
        holds,
        f"simulated (printed): {listed}.",
    )


def _ratio(steps: pd.DataFrame) -> Verdict:
    ratio = (
        _row(steps, "exp(1)", "K-sync", WORKERS).time
        / _row(steps, "exp(1)", "K-batch-async", 1).time
    )
    exact = WORKERS * sum(1 / j for j in range(1, WORKERS + 1))
    rough = WORKERS * np.log(WORKERS)
    return Verdict(
        "A synchronous step takes P H_P asynchronous ones, for which P log P is a poor stand-in.",
        bool(abs(ratio - exact) <= 0.01 * exact and abs(ratio - rough) > 0.1 * rough),
        f"simulated {ratio:.2f} for P = 8 and exp(1); P H_P = {exact:.2f}, P log P = {rough:.1f}.",
    )


def _bound(steps: pd.DataFrame) -> Verdict:
    rows = steps[steps.how == "bound"]
    below = rows.time + rows.half_width < rows.theory
    listed = ", ".join(f"K = {r.quorum} {r.time:.3g} < {r.theory:.3g}" for r in rows.itertuples())
    return Verdict(
        "For 1 + exp(1) and 1 < K < P, K-async is strictly faster than its bound E[X_{K:P}].",
        bool(below.all()) if len(rows) else None,
        f"{below.sum()} of {len(rows)}: {listed}.",
    )


def _pareto(steps: pd.DataFrame) -> Verdict:
    sides: dict[str, list[str]] = {"below": [], "above": []}
    for quorum in range(2, WORKERS):
        row = _row(steps, "Pareto(2, 1)", "K-async", quorum)
        statistic = _row(steps, "Pareto(2, 1)", "K-sync", quorum).theory
        if abs(row.time - statistic) > row.half_width:
            side = "below" if row.time < statistic else "above"
            sides[side].append(f"K = {quorum} {row.time:.3g} for {statistic:.3g}")
    return Verdict(
        "Pareto(2, 1) is not new longer than used: E[X_{K:P}] is no upper bound for K-async.",
        bool(sides["above"]),
        "; ".join(f"{side} it {', '.join(some) or 'none'}" for side, some in sides.items()) + ".",
    )


def _mean_staleness(steps: pd.DataFrame) -> Verdict:
    rows = steps[steps.scheme.isin(["K-async", "K-batch-async"])]
    off = (rows.staleness - rows.staleness_theory).abs()
    holds = off <= 0.01 * np.maximum(rows.staleness_theory, 0.1)
    return Verdict(
        "Mean staleness is a matter of counting, whatever the times: (P - K)/K for K-async, "
        "(P - 1)/K for K-batch-async.",
        bool(holds.all()),
        f"within 1 % in {holds.sum()} of {len(rows)} cases of three distributions; "
        f"the largest difference is {off.max():.3g}.",
    )


def _fresh(steps: pd.DataFrame) -> Verdict:
    rows = steps[steps.scheme.isin(["K-async", "K-batch-async"]) & steps.fresh_theory.notna()]
    off = (rows.fresh - rows.fresh_theory).abs()
    schemes = [("K-batch-async", 1), ("K-async", 4), ("K-batch-async", 4)]
    found = [_row(steps, "exp(1)", *key) for key in schemes]
    return Verdict(
        "With exp(1), P(tau = 0) is 1/P for asynchronous steps, but K/P for K-async and "
        "1 - (q + ... + q^K)/K, q = 1 - 1/P, for K-batch-async: p_0 = 1/P is a lower bound.",
        bool((off <= 0.005).all() and found[1].fresh > 2 / WORKERS),
        ", ".join(f"{r.scheme} K = {r.quorum} {r.fresh:.4f} ({r.fresh_theory:.4f})" for r in found)
        + f"; largest difference of {len(rows)} {off.max():.2g}.",
    )


def _not_cancelled(steps: pd.DataFrame) -> Verdict:
    found = []
    for times in dict.fromkeys(steps.times):
        for scheme in UNCANCELLED:
            row = _row(steps, times, scheme, 4)
            cancelled = _row(steps, times, scheme.split(",")[0], 4)
            found.append((f"{times}, {cancelled.scheme}", row.time / cancelled.time))
    return Verdict(
        "Where jobs cannot be cancelled, as in lagrad, K-sync and K-batch-sync with K = 4 of 8 "
        "take at least a quarter longer.",
        all(factor >= 1.25 for _, factor in found),
        "; ".join(f"{name} x {factor:.2f}" for name, factor in found) + ".",
    )


def _gaps(tables: Tables) -> pd.DataFrame:
    """F(w) - F*, [seed x time] by scheme: columns scheme, rows (time, seed)."""
    table = tables["tradeoff"]
    best = float(tables["optimum"].optimum.iloc[0])
    table = table.assign(gap=table.objective - best)
    return table.pivot_table(index=["time", "seed"], columns="scheme", values="gap")


def _speed(gaps: pd.DataFrame) -> Verdict:
    times = gaps.index.unique("time")
    moment = times[int(np.abs(np.log(times / 100)).argmin())]
    early = gaps.loc[moment]
    order = ["async", "K-batch-async", "K-async", "sync"]
    pairs = [early[slow] - early[fast] for fast, slow in itertools.pairwise(order)]
    holds = all(mean > half for mean, half in (interval(pair.tolist()) for pair in pairs))
    return Verdict(
        "Early, error falls the faster the less a step waits for: async, K-batch-async, K-async, "
        "sync.",
        holds,
        f"F - F* at time {moment:.0f}: "
        + ", ".join(f"{name} {words(early[name].tolist(), 2)}" for name in order)
        + ".",
    )


def _floor(gaps: pd.DataFrame) -> Verdict:
    times = gaps.index.unique("time")
    end = gaps.loc[times[-1]]
    difference, half = interval((end["async"] - end["K-batch-async"]).tolist())
    middle = gaps.groupby(level="time").mean()
    behind = middle["async"] > middle["K-batch-async"]
    crossed = f"{behind.idxmax():.0f}" if behind.any() else "no time"
    before_sync = bool((middle["K-batch-async"] < middle["sync"]).all())
    return Verdict(
        "K-batch-async lies between: it overtakes async, which has the higher floor, and is ahead "
        "of sync throughout.",
        bool(difference > half and before_sync and not behind.iloc[0]),
        f"F - F* at time {times[-1]:.0f}: async {words(end['async'].tolist(), 2)}, K-batch-async "
        f"{words(end['K-batch-async'].tolist(), 2)}, sync {words(end['sync'].tolist(), 2)}, "
        f"which is still falling; async is behind from time {crossed} on.",
    )


def _cost_of_staleness(gaps: pd.DataFrame) -> Verdict:
    middle = gaps.groupby(level="time").mean()
    shares = {
        fast: (middle[fast] / middle[fresh] - 1).abs().median()
        for fast, fresh in (("K-async", "K-sync"), ("K-batch-async", "K-batch-sync"))
    }
    return Verdict(
        "At this learning rate staleness itself costs little: with exp(1) and K = 4 the "
        "asynchronous schemes follow the synchronous ones of equal speed.",
        all(share < 0.05 for share in shares.values()),
        "median difference of F - F* over time "
        + ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        + ".",
    )
