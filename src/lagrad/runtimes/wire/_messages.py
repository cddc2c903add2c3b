"""What processes of a Ray run say to each other: small msgpack messages."""

from typing import Any

import msgspec

from lagrad.core import Lease, decoded


class Holder(msgspec.Struct, frozen=True):
    """Who keeps a slice of the vector, and where: what a worker needs to turn to it.

    life: of the actor, unlike any other of the run. node: of Ray. points, gradients: paths of the
    memory that its host shares, with as many rows as there are workers, the points' one more.
    """

    life: int
    url: str
    node: str
    points: str
    gradients: str
    rows: int


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The model and the data are there. node: of Ray. holder: of a shard."""

    pid: int
    node: str
    holder: Holder | None = None


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """A sign of life, see `Signs`."""

    beats: int
    begun: int
    computed: int


class Leaving(msgspec.Struct, frozen=True, tag="leaving"):
    """From a worker: somebody has asked it to end; what it was sent it will not compute."""


class Spot(msgspec.Struct, frozen=True):
    """A row of the memory that the workers of a host share which keeps no vector.

    epoch: of that memory. path: of it, "" where it is still to be made, with `rows` rows.
    brings: whether the receiver is to write the row, which travels; else it reads it.
    """

    epoch: int
    path: str
    rows: int
    row: int
    brings: bool


class Compute(msgspec.Struct, frozen=True, tag="compute"):
    """Differentiate on these samples at the point of this version.

    row: of the server's memory where the point lies; None: it travels, here or from the shards,
    or lies in the host's own memory at this spot.
    """

    version: int
    lease: Lease
    row: int | None
    spot: Spot | None = None


class Brought(msgspec.Struct, frozen=True, tag="brought"):
    """From a worker: this version lies in the host's memory, of which the path leads there."""

    epoch: int
    version: int
    path: str


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End."""


class Computed(msgspec.Struct, frozen=True, tag="computed"):
    """A gradient has been computed, and lies in shared memory or travels, here or to the shards.

    length: its Euclidean norm, where there are shards.
    """

    sequence: int
    version: int
    lease: int
    loss: float | None  # None: not finite
    length: float | None = None


class Holders(msgspec.Struct, frozen=True, tag="holders"):
    """To a worker: who keeps each slice from now on."""

    table: tuple[Holder, ...]


class Filled(msgspec.Struct, frozen=True, tag="filled"):
    """From the second shard of a slice: it has the first's state."""


class Missed(msgspec.Struct, frozen=True, tag="missed"):
    """From a worker: a shard was gone before it had given its part of this version, or the memory
    in which the point should lie.
    """

    version: int


class Part(msgspec.Struct, frozen=True, tag="part"):
    """From a shard to a worker: its slice of a version's point, in a row or as a frame.

    row: of the shard's memory; spot: of that of the worker's host.
    """

    life: int
    slice: int
    version: int
    row: int | None
    spot: Spot | None = None


class Slice(msgspec.Struct, frozen=True, tag="slice"):
    """To a shard: its slice of a gradient; travels: as a frame, else in the worker's row."""

    worker: int
    incarnation: int
    sequence: int
    travels: bool

    @property
    def key(self) -> "Key":
        """The push that it is of."""
        return Key(self.worker, self.incarnation, self.sequence)


class Key(msgspec.Struct, frozen=True):
    """Names a push."""

    worker: int
    incarnation: int
    sequence: int


class Received(msgspec.Struct, frozen=True, tag="received"):
    """From a shard: it has its slice of this push, and whether all of it is finite."""

    key: Key
    finite: bool


class Share(msgspec.Struct, frozen=True):
    """A gradient of a step, as `Gradient` but for the vectors."""

    key: Key
    tau: int
    samples: int
    length: float


class Apply(msgspec.Struct, frozen=True, tag="apply"):
    """To shards: take step number `version` with these."""

    version: int
    shares: tuple[Share, ...]


class Give(msgspec.Struct, frozen=True, tag="give"):
    """To shards: a worker is sent the point of this version. sends: by this shard, which is the
    first of its slice; near: through the memory that their host shares; host: else the node where
    others share copies with it, "" where it is alone.
    """

    worker: int
    incarnation: int
    version: int
    expected_tau: float
    sends: bool
    near: bool
    host: str = ""


class Discard(msgspec.Struct, frozen=True, tag="discard"):
    """To shards: this push will not be applied."""

    key: Key


class Feed(msgspec.Struct, frozen=True, tag="feed"):
    """To the first shard of a slice: feed this second one from now on."""

    holder: Holder


class Freeze(msgspec.Struct, frozen=True, tag="freeze"):
    """To the first shard of a slice: copy the state as it is now; Ray fetches the copy."""

    number: int


class Copy(msgspec.Struct, frozen=True, tag="copy"):
    """To the first shard of a slice: send the parameters, and those that are evaluated."""

    number: int


class Copied(msgspec.Struct, frozen=True, tag="copied"):
    """The answer to Copy, with two frames."""

    number: int


class Relayed(msgspec.Struct, frozen=True, tag="relayed"):
    """Between a script on a node and the server: a message of theirs, with its tensors."""

    content: bytes


class Printed(msgspec.Struct, frozen=True, tag="printed"):
    """From a relay: lines that its script has printed."""

    lines: tuple[str, ...]


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """From a relay: its script's process has ended. words: how, for people."""

    code: int
    words: str


class Dismissed(msgspec.Struct, frozen=True, tag="dismissed"):
    """To a relay: end the script's process, or go, if it has ended."""


Message = (
    Hello
    | Beat
    | Leaving
    | Compute
    | Brought
    | Stop
    | Computed
    | Holders
    | Filled
    | Missed
    | Part
    | Slice
    | Received
    | Apply
    | Give
    | Discard
    | Feed
    | Freeze
    | Copy
    | Copied
    | Relayed
    | Printed
    | Exited
    | Dismissed
)

encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def read(content: Any) -> Message:
    """The message of a first frame. Raises: Unreadable for anything else."""
    message: Message = decoded(_decoder.decode, content)
    return message
