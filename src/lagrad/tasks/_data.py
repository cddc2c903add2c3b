"""What a task draws its batches from: finite samples or an endless stream."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, TensorDataset, default_collate


class Samples:
    """Finite data, visited in a shuffled order, each sample once per epoch.

    dataset: a tuple of tensors of one first dimension, or any map-style data set (`__len__` and
    `__getitem__`). Randomness in `__getitem__` must come from torch's generator, which is seeded
    for each lease. The data set is not modified.
    Raises: TypeError if `dataset` is neither; ValueError if the first dimensions differ.

    >>> samples = Samples((torch.arange(4.0), torch.tensor([0, 1, 0, 1])))
    >>> len(samples), samples.batch(torch.tensor([3, 0]))
    (4, (tensor([3., 0.]), tensor([1, 0])))
    """

    def __init__(self, dataset: Any) -> None:
        if isinstance(dataset, TensorDataset):
            dataset = dataset.tensors
        self._dataset = dataset
        self._tensors: tuple[Tensor, ...] | None = None
        if isinstance(dataset, tuple) and all(isinstance(t, Tensor) for t in dataset):
            self._tensors = _check_lengths(dataset)
        else:
            _check_map_style(dataset)

    def __len__(self) -> int:
        if self._tensors is not None:
            return len(self._tensors[0])
        return len(self._dataset)

    @property
    def num_samples(self) -> int:
        """How many samples an epoch has."""
        return len(self)

    @property
    def are_tensors(self) -> bool:
        """Whether a batch is a pure selection from tensors, without code of the data set's own."""
        return self._tensors is not None

    def batch(self, indices: Tensor) -> Any:
        """The samples at `indices` (int64 [n]), collated; new tensors, with n first."""
        if self._tensors is not None:
            return tuple(t.index_select(0, indices) for t in self._tensors)
        wanted = indices.tolist()
        fetch_many = getattr(self._dataset, "__getitems__", None)
        if fetch_many is not None:
            return default_collate(fetch_many(wanted))
        return default_collate([self._dataset[i] for i in wanted])


@dataclass(frozen=True)
class Stream:
    """Endless data: every lease is one batch, drawn with a generator of its own.

    draw: from a generator, seeded by (seed, lease number), to a batch; it must take all its
    randomness from the generator.
    draw_all: the same for several generators at once, stacked: a function of them, which are one
    that is seeded anew when the next one is taken, and their number. None: they are drawn one by
    one.

    >>> stream = Stream(lambda generator: torch.rand(2, generator=generator))
    >>> stream.draw(torch.Generator().manual_seed(0)).shape
    torch.Size([2])
    """

    draw: Callable[[torch.Generator], Any]
    draw_all: Callable[[Iterable[torch.Generator], int], Any] | None = None

    @property
    def num_samples(self) -> None:
        """None: a stream has no epochs."""
        return


def _check_lengths(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    shapes = [tuple(t.shape) for t in tensors]
    if not shapes or any(not shape for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        raise ValueError(
            f"Expected tensors with the same first dimension, got shapes {shapes}; "
            "the first dimension counts the samples."
        )
    return tensors


def _check_map_style(dataset: object) -> None:
    if isinstance(dataset, IterableDataset):
        raise TypeError(
            f"Expected a data set with a length, got the IterableDataset {type(dataset).__name__}; "
            "draw its batches through Stream(draw) instead."
        )
    if isinstance(dataset, Tensor):
        raise TypeError("Expected a tuple of tensors, got one Tensor; write Samples((tensor,)).")
    missing = [name for name in ("__len__", "__getitem__") if not hasattr(dataset, name)]
    if missing:
        raise TypeError(
            "Expected a tuple of tensors or a map-style data set, got "
            f"{type(dataset).__name__} without {' and '.join(missing)}; "
            "wrap it in a class that has them."
        )
