"""The note's parabola with a constraint, by projection and by multipliers, with late gradients."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lagrad import train
from lagrad.core import Rule
from lagrad.delays import Gamma
from lagrad.policies import Asynchronous
from lagrad.rules import SGD, Projected
from lagrad.runtimes import Result, Simulator, Until
from lagrad.sets import Box
from lagrad.tasks import Stream, Task, constrained, parabola

from ._experiment import Cell, Study, Tables

WORKERS = (1, 4, 8)


def _cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    del quick, tables
    return [
        {"problem": problem, "workers": workers}
        for problem in ("projection", "multipliers")
        for workers in WORKERS
    ]


def _constraints(problem: str, workers: int) -> list[dict[str, Any]]:
    """Distance to the solution and violation after 4000 asynchronous updates."""
    if problem == "projection":
        # min x^2 subject to x >= 1: x = 1.
        result = _solve(parabola(), Projected(SGD(lr=0.02), onto=Box(1.0, math.inf)), workers)
        x = result.state_dict["x"]
        distance, violation = (x - 1).abs().max().item(), max(0.0, 1 - x.item())
    else:
        # min (x-2)^2 + (y-1)^2, x^2 <= y, x + y = 2: (1, 1) with both multipliers 2/3.
        task = constrained(
            name="parabola and line",
            model=_Plane,
            objective=_objective,
            data=_nothing,
            inequalities=_above_the_parabola,
            equalities=_on_the_line,
        )
        result = _solve(task, SGD(lr=0.02), workers)
        multipliers = [result.state_dict[name] - 2 / 3 for name in ("inequality", "equality")]
        off = torch.cat([result.state_dict["model.x"] - 1, *multipliers])
        distance, violation = off.abs().max().item(), result.scores.get("violation", math.inf)
    return [{"distance": distance, "violation": violation, "mean_tau": result.mean_staleness}]


def _solve(task: Task, rule: Rule, workers: int) -> Result:
    return train(
        task,
        rule=rule,
        policy=Asynchronous(),
        runtime=Simulator(),
        delays=Gamma(),
        workers=workers,
        until=Until(updates=4000),
        evaluate_every=1e6,
    )


class _Plane(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(2, dtype=torch.float64))


def _nothing() -> Stream:
    return Stream(_draw_nothing)


def _draw_nothing(generator: torch.Generator) -> None:
    del generator


def _objective(plane: _Plane, batch: None) -> Tensor:
    del batch
    return (plane.x - plane.x.new_tensor([2.0, 1.0])).square().sum()


def _above_the_parabola(plane: _Plane) -> Tensor:
    return (plane.x[0] ** 2 - plane.x[1]).reshape(1)


def _on_the_line(plane: _Plane) -> Tensor:
    return (plane.x.sum() - 2).reshape(1)


CONSTRAINTS = Study("constraints", _cells, _constraints)
