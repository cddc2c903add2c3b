"""A memory put back is the memory that was taken; what could not be put back is not taken."""

import copy
import math
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from operator import itemgetter
from typing import NamedTuple

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lagrad.checkpoints import Image, put_back, take
from lagrad.core import Outcome


class Pair(NamedTuple):
    left: object
    right: object


class Word(msgspec.Struct, frozen=True):
    text: str


@dataclass(frozen=True)
class Frozen:
    number: float
    word: Word


@dataclass
class Box:
    content: object = None
    more: list = field(default_factory=list)


@dataclass
class WithKernel(Box):
    kernel: Callable[[int], int] = abs


class Plain:
    CHANGES = ("count",)

    def __init__(self) -> None:
        self.count = 0
        self.file = object()


class Random(random.Random):
    """What it remembers is no attribute."""


class Ordered(dict):
    """Nor is this."""


def again(image: Image) -> Image:
    """As it comes back from a file."""
    tree = msgspec.json.decode(msgspec.json.encode(image.tree))
    return Image(tree, {name: values.clone() for name, values in image.tensors.items()})


def round_trip(thing, fresh=None):
    box = Box() if fresh is None else fresh
    put_back(again(take(Box(thing))), box)
    return box.content


numbers = st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none() | st.text()
leaves = numbers | st.sampled_from([Outcome.APPLIED, torch.bfloat16, math.inf, Word("x")])
things = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(), inner)
        | st.lists(inner).map(lambda items: deque(items, maxlen=7))
        | st.dictionaries(st.sampled_from(Outcome), st.integers()).map(Counter)
        | st.sets(st.integers())
        | st.builds(Pair, inner, inner)
        | st.builds(Box, inner)
        | st.builds(Frozen, st.floats(allow_nan=False), st.just(Word("y")))
    ),
    max_leaves=12,
)


@given(things)
def test_what_is_put_back_is_what_was_taken(thing):
    found = round_trip(thing, Box(copy.deepcopy(thing)))  # with something like it there
    assert found == thing
    assert type(found) is type(thing)


@given(things)
def test_nothing_like_it_need_be_there(thing):
    found = round_trip(thing)
    assert (found, type(found)) == (thing, type(thing))


def test_numbers_keep_their_bits():
    for number in (0.1, -0.0, 5e-324, 2**53 + 1, -(2**90), True, 1.0, 1e300):
        found = round_trip(number)
        assert (type(found), repr(found)) == (type(number), repr(number))
    assert math.isnan(round_trip(math.nan))


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.bool, torch.int64], ids=str
)
def test_tensors_keep_type_shape_and_bits(dtype):
    values = torch.arange(-3, 3).to(dtype).reshape(2, 3)
    for thing in (values, values.T, values[:, 1], values[:0]):
        found = round_trip(thing)
        assert found.dtype == dtype
        assert torch.equal(found, thing)


def test_tensors_that_share_memory_share_it_again_and_are_changed_in_place():
    whole = torch.arange(6.0)
    there = torch.zeros(6)
    fresh = Box([there, None, None])
    one, part, same = round_trip([whole, whole[2:4], whole], fresh)
    assert one is there
    assert same is there
    part.fill_(9)
    assert there.tolist() == [0, 1, 9, 9, 4, 5]


def test_a_part_of_what_is_not_kept_is_kept_alone():
    image = take(Box(torch.arange(1000.0)[5:7]))
    assert [len(values) for values in image.tensors.values()] == [2]


def test_what_changes_after_it_was_taken_is_not_in_the_image():
    values = torch.ones(3)
    image = take(Box(values))
    values.zero_()
    box = Box()
    put_back(image, box)
    assert box.content.tolist() == [1, 1, 1]


def test_references_to_one_object_are_so_again():
    shared = Box([1])
    one, other = round_trip([shared, shared])
    assert one is other


def test_two_things_that_were_one_in_the_fresh_object_are_two():
    there = [0]
    one, other = round_trip([[1], [2]], Box([there, there]))
    assert (one, other) == ([1], [2])


def test_a_circle_is_closed_again():
    box = Box()
    box.content = [box]
    found = Box()
    put_back(again(take(box)), found)
    assert found.content[0] is found


def test_only_what_a_class_says_is_kept():
    plain, fresh = Plain(), Plain()
    plain.count = 3
    file = fresh.file
    put_back(again(take(plain)), fresh)
    assert (fresh.count, fresh.file) == (3, file)


def test_a_function_is_that_of_the_fresh_object():
    fresh = WithKernel(kernel=math.floor)
    put_back(again(take(WithKernel(kernel=math.ceil))), fresh)
    assert fresh.kernel is math.floor
    with pytest.raises(ValueError, match="Expected a function where the memory was taken"):
        round_trip([math.ceil])


def power(ratio, age):
    return ratio**age


class Counting:
    def __init__(self, count=0):
        self.count = count

    def next(self):
        self.count += 1
        return self.count


def test_what_a_method_or_a_partial_is_called_with_is_data():
    one, other = round_trip(
        [Counting(3).next, partial(power, 0.5, age=2)], Box([Counting().next, partial(power, 9)])
    )
    assert (one(), other()) == (4, 0.25)


def test_a_copy_of_a_method_or_a_partial_needs_no_place_of_its_own():
    """As a copy of a rule's state has it: other objects of one function."""
    calls = [Counting(3).next, partial(power, 0.5)]
    image = again(take(Box([calls, copy.deepcopy(calls)])))
    fresh = Box([[Counting().next, partial(power, 9)]])
    put_back(image, fresh)
    (method, half), (same_method, same_half) = fresh.content
    assert (method(), method(), same_method()) == (4, 5, 4)
    assert half(3) == same_half(3) == 0.125


@pytest.mark.parametrize(
    "thing", [open, math.ceil, abs, Box, lru_cache(power), lambda: 3], ids=repr
)
def test_what_is_code_alone_is_given(thing):
    assert round_trip(thing, Box(thing)) is thing


@pytest.mark.parametrize(
    "thing",
    [
        *(object(), iter([1]), torch.Generator(), torch.nn.Linear(1, 1), itemgetter(1)),
        *([1].append, random.Random(0).random, Random(0), Ordered(a=1)),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_is_no_data_is_refused(thing):
    with pytest.raises(TypeError, match=r"got \w+ at content, which cannot be kept"):
        take(Box(thing))


@pytest.mark.parametrize(
    "name", ["os:system", "subprocess:Popen", "nowhere:Thing", "builtins:eval", "no name"]
)
def test_an_image_makes_no_object_that_holds_no_data(name):
    with pytest.raises(ValueError, match="Expected a class that holds data"):
        put_back(Image(["object", 0, name, {"args": ["true"]}], {}), Box())


def test_another_version_of_a_class_is_refused():
    image = again(take(Plain()))
    image.tree[3]["size"] = 1
    with pytest.raises(ValueError, match="of another version of it"):
        put_back(image, Plain())
