"""Who is how soon at a test accuracy, on workers of four speeds."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import torch

from lagrad.plots import Curve, plot_race
from lagrad.runtimes import finite
from lagrad.tasks import Differentiator, lenet_mnist

from ._harness import Row, in_turns, spread
from .entrants import BATCH_SIZE, ENTRANTS, SLOW, TARGET, WORKERS, Entrant
from .peers import Load, Measured

#: What each run may spend: gradients, of all workers together, and seconds.
GRADIENTS, SECONDS = 1000, 240.0
WATCH_EVERY_S = 0.5
#: Of so many snapshots one is scored until one has the target: a score takes longer than
#: `WATCH_EVERY_S`.
STRIDE = 6


@dataclass(frozen=True)
class _Raced:
    """What one run came to. params: how many it trained. curve: pairs (seconds, test accuracy)."""

    params: int
    gradients_per_s: float
    curve: list[tuple[float, float]]

    @property
    def seconds_to_target(self) -> float:
        """When the target was first seen, inf where it never was."""
        return next((at for at, accuracy in self.curve if accuracy >= TARGET), math.inf)


def race(*, rounds: int = 3, figure: Path | None = None) -> list[Row]:
    """Seconds by the clock to 98.5 % test accuracy, LeNet on MNIST, four workers of four speeds.

    The slowest takes four times as long as the fastest, the others twice and one and a half times
    (`entrants.SLOW`). Each system is given as many gradients, the same slowness, order of samples
    and initial parameters, and its own tuned numbers (`entrants`). Copies of its parameters are
    taken twice a second and scored when all have run: every sixth until one has the target, then
    those just before it. Another round, another seed. A time is None that was not reached.
    figure: where the first round is drawn, None for nowhere.
    """
    left_out = {each.name: words for each in ENTRANTS if (words := each.missing())}
    here = [entrant for entrant in ENTRANTS if entrant.name not in left_out]
    runs = {entrant.name: partial(_run, entrant, count()) for entrant in here}
    measured = in_turns(runs, rounds=rounds)
    found = {name: [_scored(each) for each in some] for name, some in measured.items()}
    if figure is not None:
        _draw({name: raced[0] for name, raced in found.items()}, figure)
    rows = [_row(entrant, found[entrant.name], found["lagrad"]) for entrant in here]
    rows += [
        {"system": name, "seconds_to_target": None, "left_out": words}
        for name, words in left_out.items()
    ]
    return rows


def _run(entrant: Entrant, seeds: Iterator[int]) -> Measured:
    load = Load(
        "lenet-mnist",
        {"batch_size": BATCH_SIZE},
        workers=WORKERS,
        lr=entrant.lr,
        momentum=entrant.momentum,
        seconds=SECONDS,
        gradients=GRADIENTS,
        slow=SLOW,
        watch_every=WATCH_EVERY_S,
        seed=next(seeds),
    )
    return entrant.carry(load)


def _scored(measured: Measured) -> _Raced:
    """Every sixth snapshot is scored until one has the target, then those just before it."""
    differentiator = Differentiator(lenet_mnist())
    buffers = differentiator.initial_buffers()
    snapshots, scored = measured.snapshots, {}

    def first_with_target(numbers: range) -> int | None:
        for number in numbers:
            at, point = snapshots[number]
            accuracy = differentiator.evaluate(torch.tensor(point), buffers)["accuracy"]
            scored[number] = at, accuracy
            if accuracy >= TARGET:
                return number
        return None

    mark = first_with_target(range(STRIDE - 1, len(snapshots), STRIDE))
    end = len(snapshots) if mark is None else mark
    first_with_target(range(end // STRIDE * STRIDE, end))
    curve = [scored[number] for number in sorted(scored)]
    return _Raced(differentiator.layout.size, measured.gradients_per_s, curve)


def _row(entrant: Entrant, raced: list[_Raced], ours: list[_Raced]) -> Row:
    seconds = [each.seconds_to_target for each in raced]
    pairs = zip(seconds, (own.seconds_to_target for own in ours), strict=True)
    # Of a pair of which lagrad did not arrive nothing can be said.
    ratios = [their / own for their, own in pairs if own < math.inf] or [math.inf]
    return {
        "system": entrant.name,
        "params": raced[0].params,
        "workers": WORKERS,
        "lr": entrant.lr,
        "momentum": entrant.momentum,
        "rounds": len(seconds),
        "rounds_reached": sum(at < math.inf for at in seconds),
        **spread("seconds_to_target", seconds),
        **spread("lagrad_ratio", ratios),
        **spread("gradients_per_s", [each.gradients_per_s for each in raced]),
    }


def _draw(raced: dict[str, _Raced], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    curves = [
        Curve(name, each.curve, finite(each.seconds_to_target)) for name, each in raced.items()
    ]
    fastest = min(factor for _, factor in SLOW)
    slower = ", ".join(f"{factor / fastest:g}" for _, factor in SLOW)
    title = f"LeNet on MNIST, {WORKERS} workers, {slower} times as slow as the fastest"
    plot_race(curves, path, title=title, target=TARGET, score="test accuracy")
