"""Where a model's parameters lie: in a vector of its own, or where a point is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lagrad.core import Layout, Staging

from ._pages import tells, written


class Points:
    """Puts a model at points: its trainable parameters become views of one flat vector.

    So loading a point is one copy, or none where it is read in place.
    parameters: in the order of `layout`. device: of the vector; None: the processor's memory.
    staging: between host memory and the device, None where there is none.

    >>> weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> points = Points([weight], Layout(("weight",), ((2,),), torch.float32))
    >>> points.load(torch.tensor([3.0, 4.0]))
    >>> weight.tolist(), points.initial().tolist()
    ([3.0, 4.0], [1.0, 2.0])
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        layout: Layout,
        device: torch.device | None = None,
    ) -> None:
        self._parameters, self._layout = parameters, layout
        self._flat = layout.pack(zip(layout.names, parameters, strict=True))
        #: None as long as the model's own vector still holds them.
        self._initial: Tensor | None = None
        self.staging: Staging | None = None
        if device is not None:
            self._initial = self._flat
            self._flat = self._flat.to(device)
            self.staging = Staging(self._flat, layout.shapes)
        self._home = self._parts(self._flat)
        #: By where it begins in memory, the parts of a vector that is read where it lies.
        self._in_place: dict[int, list[Tensor]] = {}
        self._tried: Sequence[Tensor] = ()
        for parameter, view in zip(parameters, self._home, strict=True):
            parameter.data = view

    def initial(self) -> Tensor:
        """Where the parameters were at first, [P]; a new tensor."""
        start = self._flat if self._initial is None else self._initial
        assert start.numel() == self._layout.size, "forgotten: see read_in_place"
        return start.clone()

    def load(self, point: Tensor) -> None:
        """Put the parameters at `point` [P], which is only read; they have no gradients."""
        assert point.shape == (self._layout.size,), (point.shape, self._layout.size)
        parts = self._in_place.get(point.data_ptr())
        if parts is None:
            parts = self._take_home(point)
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.grad = None  # also what an interrupted backward pass left
            if parameter.data_ptr() != part.data_ptr():  # elsewhere, or the loss has replaced it
                parameter.data = part

    def _take_home(self, point: Tensor) -> list[Tensor]:
        """The parts of the model's own vector, which holds the point now."""
        if self._initial is None:
            self._initial = self._flat.clone()
        if not self._home:
            self._flat = torch.empty_like(point)
            self._home = self._parts(self._flat)
        if self.staging is None:
            self._flat.copy_(point)
        else:
            self.staging.load(self._parts(point))
        return self._home

    def read_in_place(self, points: Sequence[Tensor]) -> None:
        """See `Differentiator.read_in_place`."""
        if self.staging is None and tells():
            self._tried = points

    @property
    def reads_in_place(self) -> bool:
        """Whether points are read where they lie, or may yet be."""
        return bool(self._tried or self._in_place)

    @contextmanager
    def computing(self, point: Tensor) -> Iterator[None]:
        """While a gradient is computed at the loaded point; see `Differentiator.read_in_place`."""
        yield
        if self._tried:
            if torch.equal(self._flat, point):
                self._in_place = {row.data_ptr(): self._parts(row) for row in self._tried}
                self._flat, self._home = torch.empty(0), []
                self._initial = self._flat
            self._tried = ()
        elif point.data_ptr() in self._in_place and written(point):
            # What others write there is hidden from now on.
            self._in_place = {}

    def _parts(self, flat: Tensor) -> list[Tensor]:
        return list(self._layout.views(flat).values())
