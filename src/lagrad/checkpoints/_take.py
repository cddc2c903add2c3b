"""An image of a memory is taken."""

import math
from collections import Counter, deque
from enum import Enum
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from ._image import Image, is_function, kept, name_of

_EXACT = 2**53  # integers that every reader of JSON takes as they are


def take(root: object) -> Image:
    """The memory of an object, tensors copied: the object may go on changing.

    Raises: TypeError naming what is no data.
    """
    taker = _Taker()
    return Image(taker.node(root, ""), taker.tensors)


class _Taker:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._numbers: dict[int, int] = {}
        self._alive: list[object] = []  # so that no two of them have one id
        self._storages: dict[tuple[int, int], str] = {}

    def node(self, thing: Any, path: str) -> Any:
        if thing is None or isinstance(thing, bool | str | int | float | torch.dtype):
            return _plain(thing)
        if type(thing) is tuple or isinstance(thing, torch.Size):
            return ["tuple", self._items(thing, path)]
        if isinstance(thing, Enum):
            return ["enum", name_of(type(thing)), thing.value]
        if id(thing) in self._numbers:
            return ["same", self._numbers[id(thing)]]
        number = self._numbers[id(thing)] = len(self._alive)
        self._alive.append(thing)
        return self._new(thing, number, path)

    def _items(self, things: Any, path: str) -> list[Any]:
        return [self.node(thing, f"{path}.{place}") for place, thing in enumerate(things)]

    def _new(self, thing: Any, number: int, path: str) -> list[Any]:
        if isinstance(thing, Tensor):
            return ["tensor", number, *self._tensor(thing.detach(), path)]
        cls = type(thing)
        if cls in (list, set, frozenset):
            return [cls.__name__, number, self._items(thing, path)]
        if cls is deque:
            return ["deque", number, self._items(thing, path), thing.maxlen]
        if cls in (dict, Counter):
            pairs = [
                [self.node(key, path), self.node(value, f"{path}.{key}")]
                for key, value in thing.items()
            ]
            return [cls.__name__, number, pairs]
        if is_function(thing) or cls in (MethodType, partial):
            return self._function(thing, number, path)
        names = kept(cls, thing)
        if names is not None:
            fields = {
                name: self.node(getattr(thing, name), f"{path}.{name.lstrip('_')}")
                for name in names
            }
            return ["object", number, name_of(cls), fields]
        raise TypeError(
            f"Expected a memory of tensors, numbers, words, containers and dataclasses, got "
            f"{cls.__name__} at {path.lstrip('.') or 'its root'}, which cannot be kept; make it "
            "one of these, or train with durability none."
        )

    def _function(self, thing: Any, number: int, path: str) -> list[Any]:
        """Code is given; what a method or a partial calls it with is data."""
        if isinstance(thing, MethodType):
            return ["method", number, *self._items((thing.__func__, thing.__self__), path)]
        if isinstance(thing, partial):
            return ["partial", number, *self._items((thing.func, thing.args, thing.keywords), path)]
        return ["given", number]

    def _tensor(self, thing: Tensor, path: str) -> list[Any]:
        storage, size = thing.untyped_storage(), thing.numel() * thing.element_size()
        key = (storage.data_ptr(), storage.nbytes())
        name = self._storages.get(key)
        # A part of what is not kept as a whole is kept alone.
        if name is None and size != storage.nbytes():
            thing = thing.contiguous().clone()
        if name is None:
            name = path.lstrip(".") or "root"
            while name in self.tensors:
                name += "_"
            # What is pointed at by nobody has no place of its own.
            if size and size == storage.nbytes():
                self._storages[key] = name
            flat = thing.new_empty(0).set_(thing.untyped_storage())
            self.tensors[name] = flat.to("cpu", copy=True)
        dtype = str(thing.dtype).removeprefix("torch.")
        return [name, dtype, list(thing.shape), list(thing.stride()), thing.storage_offset()]


def _plain(thing: Any) -> Any:
    match thing:
        case Enum():  # of words or numbers
            return ["enum", name_of(type(thing)), thing.value]
        case int() if abs(thing) >= _EXACT:
            return ["int", str(thing)]
        case float():
            return float(thing) if math.isfinite(thing) else ["float", str(thing)]
        case torch.dtype():
            return ["dtype", str(thing).removeprefix("torch.")]
    return thing
