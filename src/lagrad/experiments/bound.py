"""Section 2 of the note: SGD with noised gradients, its bound corrected and put to the test."""

from functools import partial
from typing import Any

from lagrad.plots import plot_distances, plot_quorum_errors

from ._bound_errors import ADVERSARIES, descend
from ._bound_problems import PROBLEMS
from ._bound_quorum import WORKERS, measure
from ._bound_verdicts import verdicts
from ._experiment import Cell, Experiment, Study, Tables

#: On MNIST, the directions at the two ends: no design, and the worst there is.
_FEW_ADVERSARIES = ("random", "greedy")


def _distance_cells(quick: bool, tables: Tables) -> list[Cell]:
    del tables
    cells: list[Cell] = []
    for problem in PROBLEMS:
        on_mnist = problem.startswith("softmax")
        steps, seeds = (2000, 5) if on_mnist else (10_000, 100)
        if quick:
            steps, seeds = (250, 4) if on_mnist else (1500, 40)
        cells += [
            {"problem": problem, "adversary": adversary, "steps": steps, "seeds": seeds}
            for adversary in (_FEW_ADVERSARIES if on_mnist else ADVERSARIES)
        ]
    return cells


def _distances(*, problem: str, adversary: str, steps: int, seeds: int) -> list[dict[str, Any]]:
    return descend(PROBLEMS[problem](), adversary=adversary, steps=steps, seeds=seeds)


def _quorum_cells(quick: bool, tables: Tables) -> list[Cell]:
    del tables
    softmax: list[Cell] = [
        {
            "run": "softmax",
            "gradients": gradients,
            "driver": quorum,
            "updates": 200 if quick else 600,
            "every": 2,
            "seed": seed,
        }
        for gradients in ("fresh", "stale")
        for quorum in ((1, 2, 4, 7) if quick else range(1, WORKERS + 1))
        for seed in range(1 if quick else 3)
    ]
    lenet: Cell = {
        "run": "lenet",
        "gradients": "fresh",
        "driver": 4,
        "updates": 20 if quick else 150,
        "every": 5,
        "seed": 0,
    }
    # The longest first, so that no process is left with it at the end.
    return [lenet, *softmax]


EXPERIMENT = Experiment(
    name="bound",
    title="SGD with steps 1/(lambda k) on gradients that are off by a share of their size",
    studies=(
        Study("distances", _distance_cells, _distances),
        Study("quorums", _quorum_cells, measure),
    ),
    figures={
        "bound-worst-case": partial(
            plot_distances,
            problem="sphere",
            title="the worst case: f = ‖w‖²/2, noise across w, every gradient of norm 1",
        ),
        "bound-quadratic": partial(
            plot_distances,
            problem="quadratic, condition 10",
            title="a quadratic of condition 10 in 20 dimensions, Gaussian noise added",
        ),
        "bound-softmax": partial(
            plot_distances,
            problem="softmax, l2 0.1",
            title="softmax regression, 2,000 images of MNIST, lambda = l2 = 0.1, batch 32",
        ),
        "bound-quorums": plot_quorum_errors,
    },
    verdicts=verdicts,
)
