"""What is trained: a model, a loss, data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ._data import Samples, Stream
from ._validate import validate

#: (points, batches, out) -> losses: n gradients at a time, without autograd. points: the trainable
#: parameters by name, [n, *shape] each, only read. batches: what n draws gave, stacked, n first;
#: None where the data are. out: where the gradients are written, as `points`. losses: [n].
ClosedForm = Callable[[Mapping[str, Tensor], Any, Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Task:
    """A model, its loss and its data, as recipes that every process follows for itself.

    model: builds the model; torch is seeded before the call, so that all processes agree.
    loss: the mean loss of one batch, a scalar tensor, given the model in training mode.
    data: called once in each process; finite `Samples` or an endless `Stream`.
    batch_size: samples per gradient; for a stream always 1, as each lease is one batch.
    evaluate: scores of a model in evaluation mode, without gradients, e.g. loss and accuracy
        on held-out data.
    smoothness: the largest eigenvalue of the loss's Hessian where it is known, for warnings.
    gradients: a closed form for `Simulator(together=n)`, where there is one; see `ClosedForm`.
        What it gives is compared with autograd's before a run makes use of it.
    The callables must pickle: functions at the top level of a module, or `functools.partial`
    of them. `validate` tells whether a task is sound before anything starts.

    >>> import lagrad.tasks
    >>> lagrad.tasks.parabola().name
    'parabola'
    """

    name: str
    model: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Any], Tensor]
    data: Callable[[], Samples | Stream]
    batch_size: int = 1
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None
    smoothness: float | None = None
    gradients: ClosedForm | None = None

    def validate(self, *, pickles: bool = True) -> None:
        """Try the task out: build everything, compute one gradient on the first batch.

        pickles: also require that the task can be sent to another process.
        Raises: TypeError or ValueError, naming what is wrong and what to do; an exception of
        the task's own callables passes through with a note.

        >>> import lagrad.tasks
        >>> lagrad.tasks.parabola().validate()
        """
        validate(self, pickles=pickles)
