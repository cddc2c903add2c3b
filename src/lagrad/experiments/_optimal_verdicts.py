"""What the tables of `optimal-momentum` say, in words."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ._experiment import Tables, Verdict

#: Rules of which the literature, or a study, says that they bring the square root back.
_ROOT = ("dana", "smega2", "ormo", "lwp+sc", "roll-forward")
_LINEAR = ("sgd", "heavy-ball", "multi-asgd")
_BETWEEN = ("lwp", "spike-compensation")
#: Growth of the time constant: in words, and the least and largest power of the condition number.
_GROWTH = {
    "root": ("the square root of the condition number", 0.45, 0.55),
    "linear": ("the condition number itself", 0.9, 1.02),
    "between": ("something between the condition number and its root", 0.55, 0.9),
}
_WORKER_RULES = ("dana", "smega2", "ormo")


def verdicts(tables: Tables) -> Sequence[Verdict]:
    """One for each claim that theory, or the literature, makes."""
    optima, limits = tables["optima"], tables["limits"]
    exponents = _exponents(optima)
    return [
        _best_is_negative(optima),
        _limit_at_one(limits),
        _closed_limits(limits),
        _powers("DANA, SMEGA2, OrMo, lwp+sc and roll-forward", _ROOT, "root", exponents),
        _powers("Roll-forward with rounded constants (dm0)", ("dm0",), "root", exponents),
        _powers("No momentum, heavy ball and Multi-ASGD", _LINEAR, "linear", exponents),
        _powers("lwp or spike compensation alone", _BETWEEN, "between", exponents),
        _moves_to_one(optima),
        _left_at_usual(optima),
        _as_synchronous(optima),
        _fastest(optima),
        _random_is_milder(tables["random"]),
        _mean_is_no_guide(tables["random"]),
        _less_explicit(tables["random"]),
        _as_simulated(tables["simulated"]),
    ]


def _best_is_negative(optima: pd.DataFrame) -> Verdict:
    rows = optima[(optima.rule == "heavy-ball") & (optima.staleness >= 1)]
    worst = rows.sort_values("momentum").iloc[-1]
    return Verdict(
        "The best momentum of arrival-ordered heavy ball is at most 0 wherever gradients are late.",
        bool(worst.momentum <= 0),
        f"the largest of {len(rows)} optima, over staleness {rows.staleness.min()} to "
        f"{rows.staleness.max()} and condition {rows.condition.min():g} to "
        f"{rows.condition.max():g}, is {worst.momentum:.3f} (staleness {worst.staleness:g}).",
    )


def _limit_at_one(limits: pd.DataFrame) -> Verdict:
    rows = limits[(limits.rule == "heavy-ball") & (limits.staleness == 1)]
    error = float((rows.limit - (1 - rows.momentum)).abs().max())
    return Verdict(
        "At a staleness of 1 heavy ball is stable exactly below 1 - m.",
        error < 1e-6,
        f"the largest difference over {len(rows)} momenta from {rows.momentum.min():g} to "
        f"{rows.momentum.max():g} is {error:.1e}.",
    )


def _closed_limits(limits: pd.DataFrame) -> Verdict:
    rows = limits[limits.rule == "heavy-ball"]
    still = rows[rows.momentum == 0]
    sine = float((still.limit / still.sgd_limit - 1).abs().max())
    closed = float((rows.limit / rows.closed_form - 1).abs().max())
    return Verdict(
        "The closed forms of the stability limits, 2 sin(pi/(4D+2)) without momentum, are right.",
        max(sine, closed) < 1e-5,
        f"relative differences from the eigenvalues are at most {sine:.1e} without momentum and "
        f"{closed:.1e} with heavy ball, staleness up to {rows.staleness.max()}.",
    )


def _exponents(optima: pd.DataFrame) -> pd.DataFrame:
    """How the time constant grows, as a power of the condition number, between the two largest."""
    low, high = sorted(optima.condition.unique())[-2:]
    late = optima[optima.staleness >= 1].set_index(["rule", "staleness"])
    grown = late[late.condition == high].time_constant / late[late.condition == low].time_constant
    power = np.log(grown.to_numpy()) / np.log(high / low)
    result: pd.DataFrame = grown.index.to_frame(index=False).assign(power=power)
    return result


def _powers(who: str, rules: Sequence[str], growth: str, exponents: pd.DataFrame) -> Verdict:
    words, low, high = _GROWTH[growth]
    chosen = exponents[exponents.rule.isin(rules)]
    ranges = chosen.groupby("rule", sort=False).power.agg(["min", "max"])
    said = ", ".join(
        f"{rule} {row['min']:.2f} to {row['max']:.2f}" for rule, row in ranges.iterrows()
    )
    return Verdict(
        f"{who}: the time constant grows as {words}.",
        bool(chosen.power.between(low, high).all()),
        f"the power over staleness 1 to {exponents.staleness.max()} is {said}.",
    )


def _moves_to_one(optima: pd.DataFrame) -> Verdict:
    rows = _at_hundred(optima, "lwp+sc").sort_values("staleness")
    said = ", ".join(f"{momentum:.3f}" for momentum in rows.momentum)
    delays = ", ".join(str(delay) for delay in rows.staleness)
    return Verdict(
        "The best momentum of lwp+sc moves towards 1 as staleness grows.",
        bool(rows.momentum.is_monotonic_increasing),
        f"{said} at a staleness of {delays} (condition 100).",
    )


def _left_at_usual(optima: pd.DataFrame) -> Verdict:
    ours = _at_hundred(optima, "lwp+sc").set_index("staleness").usual_time_constant
    plain = _at_hundred(optima, "sgd").set_index("staleness").time_constant
    slower = (ours > plain)[lambda worse: worse].index
    last = ours.index.max()
    return Verdict(
        "With its momentum left at 0.9, lwp+sc falls behind no momentum at all under large "
        "staleness.",
        len(slower) > 0,
        f"at a staleness of {last} its time constant is {ours[last]:.0f} updates against "
        f"{plain[last]:.0f}; slower at {', '.join(map(str, slower)) or 'none'} (condition 100).",
    )


def _as_synchronous(optima: pd.DataFrame) -> Verdict:
    whole = _at_hundred(optima, "heavy-ball").set_index("staleness")
    together = whole.usual_time_constant[0]
    late = optima[optima.rule.isin(_WORKER_RULES) & (optima.staleness >= 1)]
    late = late[late.condition == 100.0]
    ratios = (late.usual_time_constant / ((late.staleness + 1) * together)).tolist()
    return Verdict(
        "At momentum 0.9 DANA, SMEGA2 and OrMo are as fast per gradient as synchronous momentum, "
        "within a tenth.",
        max(abs(ratio - 1) for ratio in ratios) <= 0.1,
        f"their time constants are {min(ratios):.3f} to {max(ratios):.3f} times its own.",
    )


def _fastest(optima: pd.DataFrame) -> Verdict:
    late = optima[optima.staleness >= 1]
    first = late.sort_values("time_constant").drop_duplicates(["staleness", "condition"])
    beaten = first[first.rule != "roll-forward"]
    ours = first.merge(
        optima[(optima.rule == "heavy-ball") & (optima.staleness == 0)],
        on="condition",
        suffixes=("", "_sync"),
    )
    ratio = ours.time_constant / ((ours.staleness + 1) * ours.time_constant_sync)
    others = ", ".join(sorted(set(beaten.rule)))
    return Verdict(
        "Of these rules exact roll-forward converges fastest at every staleness and condition.",
        len(beaten) == 0,
        f"it is the fastest in {len(first) - len(beaten)} of {len(first)} cases"
        f"{f' (else {others})' if others else ''}; the fastest takes {ratio.min():.2f} to "
        f"{ratio.max():.2f} times what synchronous heavy ball takes per gradient.",
    )


def _random_is_milder(random: pd.DataFrame) -> Verdict:
    surely = random.almost_sure_limit - random.almost_sure_half_width
    ratio = random.almost_sure_limit / random.constant_limit
    columns = [random[name] for name in ("almost_sure_limit", "almost_sure_half_width")]
    said = ", ".join(
        f"{limit:.3f} ± {half:.4f} against {constant:.3f}"
        for limit, half, constant in zip(*columns, random.constant_limit, strict=True)
    )
    return Verdict(
        "Random delays are milder than the constant delay of the same mean.",
        bool((surely > random.constant_limit).all()),
        f"almost every run is stable below {said} for {_listed(random.workers)} exponential "
        f"workers: {ratio.min():.1f} to {ratio.max():.1f} times more.",
    )


def _mean_is_no_guide(random: pd.DataFrame) -> Verdict:
    ratio = random.mean_limit / random.almost_sure_limit
    return Verdict(
        "The theorem of implicit momentum speaks of the mean alone: runs diverge long before it.",
        bool((random.mean_limit > 2 * random.almost_sure_limit).all()),
        f"the mean converges below {_listed(random.mean_limit)}, {ratio.min():.1f} to "
        f"{ratio.max():.0f} times the limit of almost every run.",
    )


def _less_explicit(random: pd.DataFrame) -> Verdict:
    falls = [
        bool(random[column].is_monotonic_decreasing)
        for column in ("best_momentum_100", "best_momentum_1000")
    ]
    return Verdict(
        "In the mean, more exponential workers ask for less explicit momentum.",
        all(falls),
        "the best is "
        + ", ".join(f"{value:.2f}" for value in random.best_momentum_100)
        + " at condition 100 and "
        + ", ".join(f"{value:.2f}" for value in random.best_momentum_1000)
        + f" at 1000, for {_listed(random.workers)} workers.",
    )


def _as_simulated(simulated: pd.DataFrame) -> Verdict:
    off = (simulated.ratio - 1).abs()
    worst = simulated.iloc[int(off.to_numpy().argmax())]
    return Verdict(
        "Simulated runs converge as predicted, within 2 %.",
        bool((off < 0.02).all()),
        f"measured time constants of {len(simulated)} runs are {simulated.ratio.min():.4f} to "
        f"{simulated.ratio.max():.4f} of the predicted ones; farthest off is {worst.rule} with "
        f"{worst.workers} workers at condition {worst.condition:g}.",
    )


def _at_hundred(optima: pd.DataFrame, rule: str) -> pd.DataFrame:
    return optima[(optima.rule == rule) & (optima.condition == 100.0)]


def _listed(values: pd.Series) -> str:
    return ", ".join(f"{value:g}" for value in values.round(6))
