"""The memory of living objects as data, and back again, in place.

Numbers, words, enums, lists, tuples, dicts, sets, deques, tensors, dataclasses, msgspec structs and
plain objects are data. Which attributes of an object are its memory is said by `CHANGES`, a tuple
of names in its class; without it, all are. Functions and classes are no data: they are taken from
the object that the memory is put back into, made anew by whoever made the first. What is neither
is refused when the image is taken, so that nothing is left out in silence.

Two tensors of one storage, and two references to one object, are so again. Nothing of an image is
ever executed: classes are looked up among those that are loaded, and made without `__init__`.
"""

import dataclasses
import sys
from typing import Any

import msgspec
from torch import Tensor

#: Libraries whose objects keep what their attributes do not show.
CLOSED = {*sys.stdlib_module_names, "torch", "numpy", "scipy"}


class Image(msgspec.Struct, frozen=True):
    """tree: what JSON can say. tensors: whole storages, flat, by the name of their first holder."""

    tree: Any
    tensors: dict[str, Tensor]


def kept(cls: type, thing: object) -> tuple[str, ...] | None:
    """The names of the attributes that are the memory of an object, None if it is no data."""
    if hasattr(cls, "CHANGES"):
        names: tuple[str, ...] = cls.CHANGES
        return names
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_fields__
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return tuple(cls._fields)
    if cls.__module__.partition(".")[0] in CLOSED or not hasattr(thing, "__dict__"):
        return None
    return tuple(vars(thing))


def name_of(cls: type) -> str:
    """By which the class is found again."""
    return f"{cls.__module__}:{cls.__qualname__}"
