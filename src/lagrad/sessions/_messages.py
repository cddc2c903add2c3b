"""What a script and the server tell each other; tensors lie in memory that both have mapped."""

import math
from typing import Annotated

import msgspec

from lagrad.core import Lease, decoded

from ._groups import Group

_Count = Annotated[int, msgspec.Meta(ge=0)]
_DTYPES = ("float16", "bfloat16", "float32", "float64")
#: Of a learning rate; infinity is none.
_LARGEST_FACTOR = 1e300
_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A process has called `lagrad.join()`."""

    worker: int
    incarnation: int


class Described(msgspec.Struct, frozen=True, tag="described"):
    """The model and the rule; the initial state lies in the file that `Seated` named.

    names, shapes, dtype: of the trainable parameters. buffers: names and shapes. counters: which
    elements of the buffers are integers. homes: of each entry of the model's state dict that is
    trained, the name of the parameter or buffer that holds it. rule: its specification, "" for
    the default. groups: in the order of the parameters. fixed: a digest of the state dict's other
    entries, which nobody trains.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[_Count, ...], ...]
    dtype: str
    buffer_names: tuple[str, ...]
    buffer_shapes: tuple[tuple[_Count, ...], ...]
    counters: tuple[bool, ...]
    homes: dict[str, str]
    rule: str
    groups: tuple[Group, ...]
    fixed: str

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ValueError(
                f"Expected parameters of {', '.join(_DTYPES)}, got {self.dtype}; "
                "convert the model, for instance with model.float()."
            )
        for names, shapes in (
            (self.names, self.shapes),
            (self.buffer_names, self.buffer_shapes),
        ):
            if len(names) != len(shapes) or len(set(names)) != len(names):
                raise ValueError(
                    f"Expected a shape for each name, all different, got {names} and {shapes}; "
                    "all processes of a run need the same version of lagrad."
                )
        size = sum(math.prod(shape) for shape in self.shapes)
        if sum(group.size for group in self.groups) != size:
            raise ValueError(
                f"Expected groups of {size} parameters, got {self.groups}; "
                "all processes of a run need the same version of lagrad."
            )


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The script asks for its first batch. num_samples: None for batches of its own.

    batch_size: samples of a job of `steps` local steps. by_speed: slower workers take fewer.
    """

    num_samples: _Positive | None
    batch_size: _Positive
    steps: _Positive
    by_speed: bool


class Delivered(msgspec.Struct, frozen=True, tag="delivered"):
    """The gradient lies in shared memory.

    loss: None if the script has not said. rates: the script's factors on the groups' learning
    rates.
    """

    sequence: _Count
    version: _Count
    lease: _Count
    loss: float | None
    rates: tuple[Annotated[float, msgspec.Meta(ge=0, le=_LARGEST_FACTOR)], ...]


class Paused(msgspec.Struct, frozen=True, tag="paused"):
    """The script is behind its loop; its job waits until it comes back, if it does."""


class Resumed(msgspec.Struct, frozen=True, tag="resumed"):
    """The script is back in its loop: Given if its job is still its own, else Compute."""


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """The script wants the trained parameters."""


class Scored(msgspec.Struct, frozen=True, tag="scored"):
    """Scores of the trained parameters that were asked for last; None: not finite."""

    scores: dict[str, float | None]


class Logged(msgspec.Struct, frozen=True, tag="logged"):
    """Values that the script wants in the run's records; None: not finite."""

    values: dict[str, float | None]


class Seated(msgspec.Struct, frozen=True, tag="seated"):
    """The server knows the process.

    state: a path to which the initial state is to be written. delays: a specification.
    """

    workers: int
    seed: int
    state: str
    delays: str
    seconds_per_job: float | None


class Mapped(msgspec.Struct, frozen=True, tag="mapped"):
    """The file of the shared memory, in which the parameters of now lie."""

    path: str


class Compute(msgspec.Struct, frozen=True, tag="compute"):
    """Differentiate at the shared point on these samples, or take so many local steps from it."""

    version: int
    lease: Lease
    steps: int


class Given(msgspec.Struct, frozen=True, tag="given"):
    """The trained parameters that were asked for lie in shared memory, or: the job is kept."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The script does not fit the run."""

    reason: str


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """The run is over; the trained parameters lie in shared memory."""


ToScript = Seated | Mapped | Compute | Given | Refused | Stop
FromScript = Hello | Described | Begun | Delivered | Paused | Resumed | Asked | Scored | Logged

encode = msgspec.msgpack.Encoder().encode
_to_script = msgspec.msgpack.Decoder[ToScript](ToScript)
_from_script = msgspec.msgpack.Decoder[FromScript](FromScript)


def read_by_script(message: bytes) -> ToScript:
    """A message of the server. Raises: Unreadable for anything else."""
    read: ToScript = decoded(_to_script.decode, message)
    return read


def read_by_server(message: bytes) -> FromScript:
    """A message of a script. Raises: Unreadable for anything else."""
    read: FromScript = decoded(_from_script.decode, message)
    return read
