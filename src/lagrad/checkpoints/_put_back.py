"""A memory is put back from its image."""

import dataclasses
import sys
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from functools import partial
from types import MethodType, ModuleType
from typing import Any

import msgspec
import torch
from torch import Tensor

from lagrad.core import Unreadable

from ._image import CLOSED, Image, declared, is_function, name_of


def put_back(image: Image, root: object) -> None:
    """The object, and what it holds, are as they were when the image was taken.

    root: made anew as the first was. Tensors and objects that are there are changed in place.
    Raises: Unreadable, a ValueError, for an image of something else; the object is good for
    nothing then.

    >>> from lagrad.checkpoints import take
    >>> counts, fresh = Counter("aab"), Counter()
    >>> put_back(take(counts), fresh)
    >>> fresh
    Counter({'a': 2, 'b': 1})
    """
    try:
        found = _Giver(image.tensors).node(image.tree, root)
    except Unreadable:
        raise
    # What a tree that `take` did not make may lead to; RuntimeError is also nested without end.
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        raise Unreadable(
            f"Expected an image as it is taken, got one that is none ({error}); the checkpoint is "
            "of something else."
        ) from error
    if found is not root:
        raise Unreadable(
            f"Expected an image of {type(root).__name__}, got {type(found).__name__}; the "
            "checkpoint is of something else."
        )


class _Giver:
    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._saved = tensors
        self._flat: dict[str, Tensor] = {}
        self._known: dict[int, Any] = {}
        self._claimed: set[int] = set()
        self._makers: dict[str, Callable[..., Any]] = {
            "enum": self._enum,
            "int": lambda _, text: int(text),
            "float": lambda _, text: float(text),
            "dtype": lambda _, name: _dtype(name),
            "tuple": lambda like, items: tuple(self._items(items, like)),
            "same": lambda _, number: self._known[number],
            "tensor": self._tensor,
            "list": self._list,
            "set": lambda like, number, items: self._know(number, set(self._items(items, like))),
            "frozenset": lambda like, number, items: self._know(
                number, frozenset(self._items(items, like))
            ),
            "deque": lambda _, number, items, longest: self._know(
                number, deque(self._items(items, None), longest)
            ),
            "dict": lambda like, number, pairs: self._dict(like, number, pairs, dict),
            "Counter": lambda like, number, pairs: self._dict(like, number, pairs, Counter),
            "object": self._object,
            "given": self._given,
            "method": self._method,
            "partial": self._partial,
        }

    def node(self, node: Any, like: Any) -> Any:
        if not isinstance(node, list):
            return node
        kind, *rest = node
        return self._makers[kind](like, *rest)

    def _know(self, number: int, thing: Any) -> Any:
        self._known[number] = thing
        return thing

    def _claim(self, like: Any, cls: type) -> bool:
        """Whether `like` may become the object: it is of the class, and no other's already."""
        free = type(like) is cls and id(like) not in self._claimed
        if free:
            self._claimed.add(id(like))
        return free

    def _items(self, items: list[Any], like: Any) -> list[Any]:
        likes = list(like) if isinstance(like, list | tuple) else []
        likes += [None] * (len(items) - len(likes))
        return [self.node(item, each) for item, each in zip(items, likes, strict=False)]

    def _list(self, like: Any, number: int, items: list[Any]) -> Any:
        result = self._know(number, like if self._claim(like, list) else [])
        result[:] = self._items(items, list(result))
        return result

    def _dict(self, like: Any, number: int, pairs: list[Any], cls: type) -> Any:
        result = self._know(number, like if self._claim(like, cls) else cls())
        likes = dict(result)
        result.clear()
        for key, value in pairs:
            name = self.node(key, None)
            result[name] = self.node(value, likes.get(name))
        return result

    def _given(self, like: Any, number: int) -> Any:
        if not is_function(like):
            raise Unreadable(
                f"Expected a function where the memory was taken, got {type(like).__name__} in "
                "what it is put back into; make it of the same arguments."
            )
        return self._know(number, like)

    def _method(self, like: Any, number: int, *parts: Any) -> Any:
        places = ("__func__", "__self__") if isinstance(like, MethodType) else ("", "")
        return self._know(number, MethodType(*self._parts(like, places, parts)))

    def _partial(self, like: Any, number: int, *parts: Any) -> Any:
        places = ("func", "args", "keywords") if isinstance(like, partial) else ("", "", "")
        function, args, keywords = self._parts(like, places, parts)
        return self._know(number, partial(function, *args, **keywords))

    def _parts(self, like: Any, places: tuple[str, ...], parts: tuple[Any, ...]) -> list[Any]:
        """Nodes, each with what is there at its place."""
        return [
            self.node(part, getattr(like, place, None) if place else None)
            for place, part in zip(places, parts, strict=True)
        ]

    def _enum(self, like: Any, name: str, value: Any) -> Any:
        del like
        cls = _loaded(name, None)
        if not issubclass(cls, Enum):
            raise Unreadable(f"Expected an enum, got {name}; the checkpoint is of something else.")
        return cls(value)

    def _object(self, like: Any, number: int, name: str, fields: dict[str, Any]) -> Any:
        cls = _loaded(name, like)
        names = declared(cls)
        if names is not None and set(fields) != set(names):
            raise Unreadable(
                f"Expected {name} to remember {sorted(names)}, got {sorted(fields)}; "
                "the checkpoint is of another version of it."
            )
        old = like if type(like) is cls else None
        if issubclass(cls, msgspec.Struct):
            values = {key: self.node(fields[key], getattr(old, key, None)) for key in fields}
            return self._know(number, cls(**values))
        if issubclass(cls, tuple):
            assert names is not None
            parts = [self.node(fields[key], getattr(old, key, None)) for key in names]
            return self._know(number, tuple.__new__(cls, parts))
        params = getattr(cls, "__dataclass_params__", None)
        frozen = params is not None and params.frozen
        in_place = not frozen and self._claim(like, cls)
        result = self._know(number, like if in_place else object.__new__(cls))
        for key, value in fields.items():
            found = self.node(value, getattr(old, key, None))
            if names is None:
                vars(result)[key] = found  # a property of this name, say, is not called
            else:
                object.__setattr__(result, key, found)
        return result

    def _tensor(self, like: Any, number: int, name: str, dtype: str, *geometry: Any) -> Tensor:
        shape, stride, offset = geometry
        element = _dtype(dtype)
        if name not in self._flat:
            saved = self._saved[name]
            usable = (
                isinstance(like, Tensor)
                and like.dtype is saved.dtype
                and like.numel() == saved.numel()
                and like.is_contiguous()
                and like.data_ptr() not in self._claimed
            )
            if usable:
                self._claimed.add(like.data_ptr())
                saved = like.detach().view(-1).copy_(saved)
            self._flat[name] = saved
        flat = self._flat[name]
        place = flat.storage_offset() + offset
        if (
            isinstance(like, Tensor)
            and like.untyped_storage().data_ptr() == flat.untyped_storage().data_ptr()
            and (list(like.shape), list(like.stride()), like.storage_offset())
            == (shape, stride, place)
        ):
            return self._know(number, like)  # type: ignore[no-any-return]
        _require_within(flat, element, shape, stride, place)
        view = torch.empty(0, dtype=element, device=flat.device)
        view.set_(flat.untyped_storage(), place, shape, stride)
        return self._know(number, view)  # type: ignore[no-any-return]


def _dtype(name: str) -> torch.dtype:
    found = vars(torch).get(name)
    if not isinstance(found, torch.dtype):
        raise Unreadable(
            f"Expected a type of elements, got {name!r}; the checkpoint is of something else."
        )
    return found


def _require_within(
    flat: Tensor, dtype: torch.dtype, shape: list[int], stride: list[int], place: int
) -> None:
    """A view lies in what was saved: PyTorch would enlarge the memory to what is asked for."""
    sound = all(type(number) is int and number >= 0 for number in (*shape, *stride, place))
    steps = [(n - 1) * step for n, step in zip(shape, stride, strict=True)] if sound else []
    end = place + (1 + sum(steps) if all(shape) else 0)
    if not sound or end * dtype.itemsize > flat.untyped_storage().nbytes():
        raise Unreadable(
            f"Expected a tensor within {flat.untyped_storage().nbytes()} bytes, got shape {shape}, "
            f"stride {stride}, offset {place} of {dtype}; the checkpoint is of something else."
        )


def _loaded(name: str, like: Any) -> type:
    """The class of a name: that of `like`, or one that is loaded; none is imported for it."""
    module, _, path = name.partition(":")
    thing: Any = type(like)
    if name_of(thing) != name:
        thing = sys.modules.get(module)
        for part in path.split("."):
            # Not by `getattr`, at which a module may import.
            thing = vars(thing).get(part) if isinstance(thing, ModuleType | type) else None
    fit = isinstance(thing, type) and (
        issubclass(thing, Enum | msgspec.Struct)
        or dataclasses.is_dataclass(thing)
        or module.partition(".")[0] not in CLOSED
    )
    # What is done at an object's end is no data either.
    if not fit or (hasattr(thing, "__del__") and thing is not type(like)):
        raise Unreadable(
            f"Expected a class that holds data, got {name}; import what the run was made of, or "
            "start anew with this version of lagrad."
        )
    return thing  # type: ignore[no-any-return]
