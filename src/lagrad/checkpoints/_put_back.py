"""A memory is put back from its image."""

import dataclasses
import sys
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec
import torch
from torch import Tensor

from ._image import CLOSED, Image, name_of


def put_back(image: Image, root: object) -> None:
    """The object, and what it holds, are as they were when the image was taken.

    root: made anew as the first was. Tensors and objects that are there are changed in place.
    Raises: ValueError for an image of something else.

    >>> from lagrad.checkpoints import take
    >>> counts, fresh = Counter("aab"), Counter()
    >>> put_back(take(counts), fresh)
    >>> fresh
    Counter({'a': 2, 'b': 1})
    """
    _Giver(image.tensors).node(image.tree, root)


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
            "dtype": lambda _, name: getattr(torch, name),
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
        if like is None:
            raise ValueError(
                "Expected a function where the memory was taken, got none in what it is put back "
                "into; make it of the same arguments."
            )
        return self._know(number, like)

    def _enum(self, like: Any, name: str, value: Any) -> Any:
        del like
        cls = _loaded(name, None)
        if not issubclass(cls, Enum):
            raise ValueError(f"Expected an enum, got {name}; the checkpoint is of something else.")
        return cls(value)

    def _object(self, like: Any, number: int, name: str, fields: dict[str, Any]) -> Any:
        cls = _loaded(name, like)
        if hasattr(cls, "CHANGES") and set(fields) != set(cls.CHANGES):
            raise ValueError(
                f"Expected {name} to remember {sorted(cls.CHANGES)}, got {sorted(fields)}; "
                "the checkpoint is of another version of lagrad."
            )
        old = like if type(like) is cls else None
        if issubclass(cls, msgspec.Struct) or issubclass(cls, tuple):
            values = {k: self.node(v, getattr(old, k, None)) for k, v in fields.items()}
            return self._know(number, cls(**values))
        params = getattr(cls, "__dataclass_params__", None)
        frozen = params is not None and params.frozen
        in_place = not frozen and self._claim(like, cls)
        result = self._know(number, like if in_place else cls.__new__(cls))
        for key, value in fields.items():
            object.__setattr__(result, key, self.node(value, getattr(old, key, None)))
        return result

    def _tensor(self, like: Any, number: int, name: str, dtype: str, *geometry: Any) -> Tensor:
        shape, stride, offset = geometry
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
        view = torch.empty(0, dtype=getattr(torch, dtype), device=flat.device)
        view.set_(flat.untyped_storage(), place, shape, stride)
        return self._know(number, view)  # type: ignore[no-any-return]


def _loaded(name: str, like: Any) -> type:
    """The class of a name: that of `like`, or one that is loaded; none is imported for it."""
    if name_of(type(like)) == name:
        return type(like)
    module, _, path = name.partition(":")
    thing: Any = sys.modules.get(module)
    for part in path.split("."):
        thing = getattr(thing, part, None)
    fit = isinstance(thing, type) and (
        issubclass(thing, Enum | msgspec.Struct)
        or dataclasses.is_dataclass(thing)
        or module.partition(".")[0] not in CLOSED
    )
    if not fit:
        raise ValueError(
            f"Expected a class that holds data, got {name}; import what the run was made of, or "
            "start anew with this version of lagrad."
        )
    return thing  # type: ignore[no-any-return]
