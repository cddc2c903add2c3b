"""One run: scores, training loss, staleness, total momentum, the fate of the gradients."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lagrad.core import Outcome, Unreadable, decoded
from lagrad.trace import AnyRecord, Judged, Pushed, read_trace

from ._style import figure

_SMOOTH = 50
#: The last losses of a run that diverged are beyond what an axis can show.
_HUGE = 1e100
#: What else a line of metrics.jsonl holds.
_NO_SCORES = {
    *("seconds", "version", "training_loss", "staleness", "total_momentum"),
    *map(str, Outcome),
}


_T = TypeVar("_T")


class _Config(msgspec.Struct):
    """What of `config.json` the title says; what no specification says has its repr beside it."""

    task_name: str
    workers: int
    policy: str | None
    rule: str | None
    policy_name: str = ""
    rule_name: str = ""


@dataclass(frozen=True)
class _Drawn:
    config: _Config
    metrics: list[dict[str, Any]]
    records: list[AnyRecord]


def plot_run(run: Path, path: Path) -> Path:
    """Draw the run in folder `run` to `path`; returns `path`.

    Raises: ValueError if the folder is none of a run, a file in it is damaged, or no worker pushed.
    """
    drawn = _read(run)
    with figure(path, width=15, height=7) as drawing:
        upper, lower = drawing.subplots(2, 3)
        _scores(upper[0], drawn.metrics)
        _training_loss(upper[1], drawn.records)
        _staleness(lower[0], drawn.records)
        _fates(lower[1], drawn.records)
        _total_momentum(upper[2], drawn.metrics)
        _mean_staleness(lower[2], drawn.metrics)
        drawing.suptitle(_title(drawn.config), x=0.01, ha="left")
    return path


def _read(run: Path) -> _Drawn:
    names = ("config.json", "metrics.jsonl", "trace.jsonl")
    missing = [name for name in names if not (run / name).is_file()]
    if missing:
        raise ValueError(
            f"Expected the folder of a run, with {', '.join(names)}, got {run} "
            f"without {', '.join(missing)}; give the folder that `--out` named."
        )
    config, metrics, trace = (run / name for name in names)
    records = list(read_trace(trace))
    if not any(isinstance(record, Pushed) for record in records):
        raise ValueError(
            f"Expected a run in which workers pushed gradients, got none in {run}; run longer."
        )
    rows = [
        _row(line, f"line {number} of {metrics}")
        for number, line in enumerate(metrics.read_bytes().splitlines(), start=1)
    ]
    for number, row in enumerate(rows, start=1):
        if row.keys() != rows[0].keys() or len(row["staleness"]) != len(rows[0]["staleness"]):
            raise ValueError(
                f"Expected line {number} of {metrics} with the values of the first, got "
                f"{', '.join(row)}; restore the file or run anew."
            )
    return _Drawn(_decoded(config.read_bytes(), _Config, str(config)), rows, records)


def _decoded(content: bytes, kind: type[_T], what: str) -> _T:
    try:
        return decoded(msgspec.json.Decoder(kind).decode, content)
    except Unreadable as error:
        raise ValueError(
            f"Expected {what} as a run of this version writes it, got something else ({error}); "
            "restore the file or run anew."
        ) from error


_Triples = tuple[tuple[float, float, float], ...]


def _row(line: bytes, what: str) -> dict[str, Any]:
    """A line of metrics: numbers by name, but for the staleness of each worker."""
    row: dict[str, Any] = _decoded(line, dict[str, float | _Triples | None], what)
    may_lack = {"training_loss", "total_momentum"}
    fits = isinstance(row.get("staleness"), tuple) and "seconds" in row
    if not fits or not all(
        isinstance(value, float) or (value is None and name in may_lack)
        for name, value in row.items()
        if name != "staleness"
    ):
        raise ValueError(
            f"Expected {what} with seconds, staleness and numbers, got {line[:200]!r}; "
            "restore the file or run anew."
        )
    return row


def _title(config: _Config) -> str:
    policy, rule = config.policy or config.policy_name, config.rule or config.rule_name
    text = f"{config.task_name}, {config.workers} workers, {policy}\n{rule}"
    return text if len(text) < 260 else text[:257] + "..."


def _scores(axes: Axes, metrics: list[dict[str, Any]]) -> None:
    axes.set_title("evaluation", loc="left")
    axes.set_xlabel("seconds")
    names = [name for name in (metrics[0] if metrics else {}) if name not in _NO_SCORES]
    if not names:
        axes.text(0.5, 0.5, "the run was not evaluated", ha="center", transform=axes.transAxes)
        return
    score = "accuracy" if "accuracy" in names else names[0]
    axes.set_ylabel(score)
    points = sorted((row["seconds"], row[score]) for row in metrics if abs(row[score]) < _HUGE)
    axes.plot([p[0] for p in points], [p[1] for p in points], marker="o", markersize=3)
    if score == "loss" and points and all(value > 0 for _, value in points):
        axes.set_yscale("log")


def _training_loss(axes: Axes, records: list[AnyRecord]) -> None:
    points = [
        (r.time, r.loss)
        for r in records
        if isinstance(r, Pushed) and r.loss is not None and abs(r.loss) < _HUGE
    ]
    losses = pd.Series([loss for _, loss in points], [time for time, _ in points], dtype=float)
    width = max(1, min(_SMOOTH, len(losses) // 4))
    smooth = losses.rolling(width, min_periods=1).mean()
    axes.plot(losses.index, losses, color="0.8", linewidth=0.6, label="each gradient's batch")
    axes.plot(smooth.index, smooth, label=f"mean of the last {width}")
    if points and losses.min() > 0:
        axes.set_yscale("log")
    axes.set_title("training loss", loc="left")
    axes.set_xlabel("seconds")
    axes.legend()


def _staleness(axes: Axes, records: list[AnyRecord]) -> None:
    taus: dict[int, Counter[int]] = {}
    for record in records:
        if isinstance(record, Judged) and record.tau is not None and record.outcome == "applied":
            taus.setdefault(record.worker, Counter())[record.tau] += 1
    workers = sorted(taus)
    width = 0.8 / max(1, len(workers))
    for place, worker in enumerate(workers):
        counts = taus[worker]
        axes.bar(
            [tau + (place - (len(workers) - 1) / 2) * width for tau in counts],
            list(counts.values()),
            width=width,
            label=f"worker {worker}",
        )
    axes.set_title("staleness of applied gradients", loc="left")
    axes.set_xlabel("staleness (versions)")
    axes.set_ylabel("gradients")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if workers:
        axes.set_yscale("log")
        axes.legend()


def _total_momentum(axes: Axes, metrics: list[dict[str, Any]]) -> None:
    axes.set_title("total momentum", loc="left")
    axes.set_xlabel("seconds")
    points: list[tuple[float, float]] = sorted(
        (row["seconds"], row["total_momentum"])
        for row in metrics
        if row.get("total_momentum") is not None
    )
    if not points:
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        return
    axes.plot([p[0] for p in points], [p[1] for p in points], marker="o", markersize=3)
    axes.set_ylim(min(0.0, *(value for _, value in points)) - 0.02, 1.02)


def _mean_staleness(axes: Axes, metrics: list[dict[str, Any]]) -> None:
    axes.set_title("mean staleness so far", loc="left")
    axes.set_xlabel("seconds")
    axes.set_ylabel("staleness (versions)")
    rows = sorted(metrics, key=lambda row: float(row["seconds"]))
    for worker in range(len(rows[0]["staleness"]) if rows else 0):
        means = [row["staleness"][worker][1] for row in rows]
        axes.plot([row["seconds"] for row in rows], means, label=f"worker {worker}")
    if rows:
        axes.legend()


def _fates(axes: Axes, records: list[AnyRecord]) -> None:
    fates: dict[str, Counter[int]] = {}
    for record in records:
        if isinstance(record, Judged):
            fates.setdefault(record.outcome.value, Counter())[record.worker] += 1
    workers = sorted({worker for counts in fates.values() for worker in counts})
    below = dict.fromkeys(workers, 0)
    for outcome, counts in fates.items():
        heights = [counts[worker] for worker in workers]
        places = [str(worker) for worker in workers]
        axes.bar(places, heights, bottom=[below[w] for w in workers], label=outcome)
        for worker, height in zip(workers, heights, strict=True):
            below[worker] += height
    axes.set_title("what became of the gradients", loc="left")
    axes.set_xlabel("worker")
    axes.set_ylabel("gradients")
    if fates:
        axes.legend()
