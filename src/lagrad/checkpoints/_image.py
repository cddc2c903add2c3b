"""The memory of living objects as data, and back again, in place.

Numbers, words, enums, lists, tuples, dicts, sets, deques, tensors, dataclasses, msgspec structs and
plain objects are data. Which attributes of an object are its memory is said by `CHANGES`, a tuple
of names in its class; without it, all are. Functions and classes are no data: they are taken from
the object that the memory is put back into, made anew by whoever made the first. A bound method or
a partial is such a function, and data. What is none of these is refused when the image is taken,
so that nothing is left out in silence.

Two tensors of one storage, and two references to one object, are so again. Nothing of an image is
ever executed: classes are looked up among those that are loaded, and made without `__init__`.
"""

import dataclasses
import sys
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import msgspec
from torch import Tensor

#: Libraries whose objects keep what their attributes do not show.
CLOSED = {*sys.stdlib_module_names, "torch", "numpy", "scipy"}


class Image(msgspec.Struct, frozen=True):
    """tree: what JSON can say. tensors: whole storages, flat, by the name of their first holder."""

    tree: Any
    tensors: dict[str, Tensor]


_FUNCTIONS = (type, FunctionType, BuiltinFunctionType, type(lru_cache(len)))


def is_function(thing: object) -> bool:
    """Whether it is code without a memory, so that a copy of what holds it holds the same one."""
    # `random.random`, say, is the method of an object.
    of = getattr(thing, "__self__", None)
    return isinstance(thing, _FUNCTIONS) and (of is None or isinstance(of, ModuleType | type))


def declared(cls: type) -> tuple[str, ...] | None:
    """The names of the attributes that a class says are its memory, None if it says nothing."""
    if hasattr(cls, "CHANGES"):
        names: tuple[str, ...] = cls.CHANGES
        return names
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_fields__
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return tuple(cls._fields)
    return None


def kept(cls: type, thing: object) -> tuple[str, ...] | None:
    """The names of the attributes that are the memory of an object, None if it is no data."""
    names = declared(cls)
    if names is not None:
        return names
    if cls.__module__.partition(".")[0] in CLOSED or not hasattr(thing, "__dict__"):
        return None
    try:
        object.__new__(cls)
    except TypeError:  # a kind of a built-in type, which keeps more than attributes
        return None
    return tuple(vars(thing))


def name_of(cls: type) -> str:
    """By which the class is found again."""
    return f"{cls.__module__}:{cls.__qualname__}"
