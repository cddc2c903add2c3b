"""The image of a server in the midst of a run, and trees that are nearly as it is."""

import copy
import random
from functools import partial
from typing import Any

import msgspec

from conversation import Conversation
from lagrad import policies, rules
from lagrad.checkpoints import take
from lagrad.core import Guard, Server


def _kernel(ratio: float, age: int) -> float:
    return ratio**age


def _begun() -> Conversation:
    return Conversation(
        policies.KBatchAsync(2),
        rule=rules.DynamicMomentum(lr=0.1, kernel=partial(_kernel, 0.5), horizon=2),
        num_samples=7,
        batch_size=2,
        ema=0.9,
        guard=Guard(spike=3.0, snapshot_every=2, longest=9.0),
    )


def fresh() -> Server:
    """A server before its first event."""
    return _begun().server


def _taken() -> Any:
    run = _begun()
    run.join(0, 1, 2)
    for turn in range(8):
        run.push(turn % 3, 0.1 * turn)
        run.pull(turn % 3)
    image = take(run.server)
    return msgspec.structs.replace(image, tree=_through_json(image.tree))


def _through_json(tree: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(tree))


IMAGE = _taken()

_LEAVES = (None, True, -1, 0, 3, 2**60, 0.5, 1e308, "", "x", "float64", "lagrad", [], {}, [[]])
_NODES = (
    *(["given", 1], ["same", 0], ["same", 5], ["same", 10**6], ["int", "-9"], ["float", "nan"]),
    *(["dtype", "int64"], ["dtype", "nn"], ["enum", "lagrad.core._messages:Outcome", "applied"]),
    *(["tuple", [1, 2]], ["list", 99, []], ["set", 98, [1]], ["deque", 97, [1], 1]),
    *(["method", 96, ["same", 0], ["same", 0]], ["partial", 95, ["given", 94], ["tuple", []], 1]),
    *(["object", 93, "lagrad.core._ledger:Ledger", {}], ["object", 92, "os:system", {}]),
    ["tensor", 91, "trained.params", "float64", [10**12], [1], 0],
)


def forge(tree: Any, draw: random.Random) -> Any:
    """The tree with a few of its nodes changed for others: its own, or what nobody takes."""
    forged = copy.deepcopy(tree)
    for _ in range(draw.randrange(1, 5)):
        places = list(_places(forged))
        holder, key = draw.choice(places)
        match draw.randrange(4):
            case 0:
                holder[key] = copy.deepcopy(draw.choice(_NODES))
            case 1:
                holder[key] = copy.deepcopy(draw.choice(_LEAVES))
            case 2:
                other, name = draw.choice(places)
                holder[key] = copy.deepcopy(other[name])
            case 3:
                del holder[key]
    return forged


def _places(node: Any) -> Any:
    keys = range(len(node)) if isinstance(node, list) else node if isinstance(node, dict) else ()
    for key in keys:
        yield node, key
        yield from _places(node[key])
