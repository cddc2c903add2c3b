"""Problems with general constraints, by multipliers that are trained like any other parameter."""

from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from ._data import Samples, Stream
from ._task import Task

#: The values of some constraints at a model: a tensor [m].
Constraints = Callable[[Any], Tensor]


class Saddle(nn.Module):
    """A model with a multiplier for each constraint, 0 at the start.

    model: what is optimised. inequality: lambda [m]; equality: mu [l].
    """

    def __init__(
        self,
        model: Callable[[], nn.Module],
        inequalities: Constraints | None,
        equalities: Constraints | None,
    ) -> None:
        super().__init__()
        self.model = model()
        for name, constraints in (("inequality", inequalities), ("equality", equalities)):
            if constraints is not None:
                start = torch.zeros_like(_values(constraints, self.model, name)).detach()
                self.register_parameter(name, nn.Parameter(start))


def constrained(
    *,
    name: str,
    model: Callable[[], nn.Module],
    objective: Callable[[Any, Any], Tensor],
    data: Callable[[], Samples | Stream],
    inequalities: Constraints | None = None,
    equalities: Constraints | None = None,
    penalty: float = 1.0,
    batch_size: int = 1,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
) -> Task:
    """min f(x) subject to g_i(x) <= 0 and h_j(x) = 0, as a task for any rule and runtime.

        L(x, l, m) = f(x) + sum_i (max(0, l_i + r g_i)^2 - l_i^2) / (2 r)
                          + sum_j (m_j h_j + r/2 h_j^2)

    The augmented Lagrangian: its saddle points are those of the problem, and l needs no sign
    constraint. One flat vector holds x, l and m; the gradient of the multipliers is reversed, so
    that a rule that descends in x ascends in them, also with gradients that come late.

    model: x. objective: f, given the model and a batch. inequalities, equalities: g and h at the
    model, a tensor [m] each; at least one of the two. penalty: r > 0. evaluate: scores beside
    `violation`, the largest of max(0, g_i) and |h_j|. data, batch_size: as of `Task`.
    Raises: ValueError for a penalty out of range or no constraints; TypeError if g or h is no
    1-D tensor.
    Source: Rockafellar 1973 (inequalities in the augmented Lagrangian). The library cooper
    (cooper-optim) computes the same Lagrangian, but its optimisers take the steps of x and the
    multipliers themselves; here the server takes them, and what would be left is this formula.

    >>> import lagrad
    >>> from lagrad import rules, runtimes, tasks
    >>> def above_one(model):
    ...     return 1 - model.x
    >>> from lagrad.tasks import parabola
    >>> simple = parabola()
    >>> task = constrained(name="x >= 1", model=simple.model, objective=simple.loss,
    ...     data=simple.data, inequalities=above_one)
    >>> result = lagrad.train(task, rule=rules.SGD(lr=0.1), runtime=runtimes.Simulator(),
    ...     workers=3, until=lagrad.Until(updates=500))
    >>> {name: round(value.item(), 6) for name, value in result.state_dict.items()}
    {'inequality': 2.0, 'model.x': 1.0}
    """
    if not (isfinite(penalty) and penalty > 0):
        raise ValueError(f"Expected a finite penalty > 0, got {penalty}; 1 is a good start.")
    if inequalities is None and equalities is None:
        raise ValueError(
            f"Expected inequalities, equalities or both for {name!r}, got neither; "
            "a task without constraints is a plain Task."
        )
    return Task(
        name=name,
        model=partial(Saddle, model, inequalities, equalities),
        loss=partial(
            _lagrangian,
            objective=objective,
            inequalities=inequalities,
            equalities=equalities,
            penalty=penalty,
        ),
        data=data,
        batch_size=batch_size,
        evaluate=partial(
            _scores, evaluate=evaluate, inequalities=inequalities, equalities=equalities
        ),
    )


def _lagrangian(
    saddle: Saddle,
    batch: Any,
    *,
    objective: Callable[[Any, Any], Tensor],
    inequalities: Constraints | None,
    equalities: Constraints | None,
    penalty: float,
) -> Tensor:
    value = objective(saddle.model, batch)
    if inequalities is not None:
        g, multipliers = inequalities(saddle.model), _reversed(saddle.inequality)
        shifted = (multipliers + penalty * g).clamp(min=0)
        value = value + (shifted.square() - multipliers.square()).sum() / (2 * penalty)
    if equalities is not None:
        h = equalities(saddle.model)
        value = value + (_reversed(saddle.equality) * h + penalty / 2 * h.square()).sum()
    return value


def _reversed(multipliers: Any) -> Tensor:
    """The same values, with the sign of their gradient changed."""
    still: Tensor = multipliers.detach()
    reverse: Tensor = 2 * still - multipliers
    return reverse


def _scores(
    saddle: Saddle,
    *,
    evaluate: Callable[[Any], dict[str, float]] | None,
    inequalities: Constraints | None,
    equalities: Constraints | None,
) -> dict[str, float]:
    violations = [0.0]
    if inequalities is not None:
        violations.append(inequalities(saddle.model).max().item())
    if equalities is not None:
        violations.append(equalities(saddle.model).abs().max().item())
    scores = {} if evaluate is None else evaluate(saddle.model)
    return {**scores, "violation": max(violations)}


def _values(constraints: Constraints, model: nn.Module, name: str) -> Tensor:
    values: object = constraints(model)
    if not isinstance(values, Tensor) or values.dim() != 1:
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else repr(values)
        raise TypeError(
            f"Expected the {name} constraints as a tensor [m], got {got}; "
            "put several into one with torch.stack."
        )
    return values
