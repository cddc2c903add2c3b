"""Images that nobody took: refused by one error, and nothing of them is carried out."""

import contextlib
import copy
import random
from typing import ClassVar

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import forged_images as forged
from lagrad.checkpoints import Image, put_back, take
from lagrad.core import Unreadable


class Loud:
    """Whatever is called of it is heard."""

    heard: ClassVar[list[str]] = []

    def __init__(self):
        self.heard.append("made")

    def __setattr__(self, name, value):
        self.heard.append("changed")

    @property
    def door(self):
        return None

    @door.setter
    def door(self, value):
        self.heard.append("the setter was called")

    def __reduce__(self):
        self.heard.append("reduced")
        return super().__reduce__()


class Ending:
    def __del__(self):
        Loud.heard.append("ended")


class Holder:
    def __init__(self, content=None):
        self.content = content


def put(node, like=None, tensors=None):
    """Put one node back, as a checkpoint's reader would have it."""
    holder = Holder(like)
    name = f"{__name__}:Holder"
    tree = ["object", 0, name, {"content": msgspec.json.decode(msgspec.json.encode(node))}]
    put_back(Image(tree, tensors or {}), holder)
    return holder.content


@pytest.fixture(autouse=True)
def _quiet():
    yield
    heard = Loud.heard.copy()
    Loud.heard.clear()
    assert not heard


def test_an_object_is_made_without_a_call():
    found = put(["object", 1, f"{__name__}:Loud", {"door": 3}])
    assert vars(found) == {"door": 3}


@pytest.mark.parametrize(
    "node",
    [
        ["object", 1, f"{__name__}:Ending", {}],
        ["object", 1, "scipy:stats", {}],  # whose submodules are imported when they are asked for
        ["object", 1, "builtins:function", {"__defaults__": ["tuple", [1]]}],
        ["object", 1, "torch:Tensor", {}],
        ["enum", "builtins:int", 3],
        ["enum", "signal:Signals", 10**6],
        ["dtype", "load"],
        ["given", 1],
        ["given"],
        ["method", 1, ["given", 2], 3],
        ["partial", 1, ["given", 2], ["tuple", []], ["dict", 3, []]],
        ["same", 7],
        ["same", []],
        ["int", "9" * 10**5],
        ["deque", 1, [], -1],
        ["set", 1, [["list", 2, []]]],
        ["list", 1, 5],
        ["unheard of", 1],
        [],
        [["list"], 1],
        ["tensor", 1, "none", "float32", [1], [1], 0],
    ],
    ids=str,
)
def test_what_no_image_holds(node):
    with pytest.raises(Unreadable, match="Expected"):
        put(node)


def test_a_function_is_not_changed_by_what_is_said_of_it():
    def kernel(age=1):
        return age

    with pytest.raises(Unreadable, match="Expected a class that holds data"):
        put(["object", 1, "builtins:function", {"__defaults__": ["tuple", [9]]}], like=kernel)
    assert kernel() == 1


@pytest.mark.parametrize(
    "geometry",
    [
        ([10**12], [1], 0),
        ([2, 10**9], [10**9, 1], 0),
        ([4], [1], 0),
        ([3], [1], 1),
        ([1], [1], 10**15),
        ([2], [-1], 1),
        ([2], [10**18], 0),
        ([1.5], [1], 0),
        ([True], [1], 0),
        ([1, 1], [1], 0),
        ("3", [1], 0),
    ],
    ids=str,
)
def test_a_view_lies_in_what_was_saved(geometry):
    saved = torch.zeros(3)
    with pytest.raises(Unreadable, match="Expected"):
        put(["tensor", 1, "x", "float32", *geometry], tensors={"x": saved})
    assert saved.untyped_storage().nbytes() == 12


def test_nested_without_end():
    node = 1
    for _ in range(300):
        node = ["tuple", [node]]
    with pytest.raises(Unreadable, match="Expected an image as it is taken"):
        put(["tuple", [node]])


def test_another_thing_than_the_root():
    with pytest.raises(Unreadable, match="Expected an image of Holder, got dict"):
        put_back(Image(["dict", 0, []], {}), Holder())


@settings(max_examples=300, database=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_any_tree_is_put_back_or_refused(seed):
    draw = random.Random(seed)
    tree = forged.forge(forged.IMAGE.tree, draw)
    tensors = {name: values.clone() for name, values in forged.IMAGE.tensors.items()}
    sizes = {name: values.untyped_storage().nbytes() for name, values in tensors.items()}
    with contextlib.suppress(Unreadable):
        put_back(Image(tree, tensors), forged.fresh())
    for name, values in tensors.items():
        assert values.untyped_storage().nbytes() == sizes[name]


def test_what_was_forged_from_is_put_back():
    found = forged.fresh()
    put_back(copy.deepcopy(forged.IMAGE), found)
    assert msgspec.json.encode(take(found).tree) == msgspec.json.encode(forged.IMAGE.tree)
