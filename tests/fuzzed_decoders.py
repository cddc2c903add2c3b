"""Every reader of bytes that somebody else wrote: how to call it, what it takes, what it raises."""

import json
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save, save_file

import forged_images
import small_tasks
from lagrad import audit, checkpoints, replay, rules, specs, train
from lagrad.cli import _race, _slowness
from lagrad.core import Join, Lease, Leave, Pull, Push, Unreadable, decoded
from lagrad.delays import Gamma
from lagrad.experiments._tables import GrowingTable
from lagrad.plots import _run as plot
from lagrad.runtimes import Simulator, Target, Until, _journal
from lagrad.runtimes.local import _worker
from lagrad.runtimes.wire import _compression
from lagrad.runtimes.wire import _messages as _spoken
from lagrad.runtimes.wire._wire import Letter
from lagrad.sessions import _messages, _script_model
from lagrad.sessions._groups import Group
from lagrad.tasks import _mnist
from lagrad.trace import job_durations, read_trace

LEASE = Lease(number=3, epoch=1, start=8, stop=16)
DESCRIBED = _messages.Described(
    names=("weight",),
    shapes=((2, 3),),
    dtype="float32",
    buffer_names=("mean", "count"),
    buffer_shapes=((3,), ()),
    counters=(False, False, False, True),
    homes={"weight": "weight", "mean": "mean", "count": "count"},
    rule="sgd(lr=0.1)",
    groups=(Group(6, {"lr": 0.5}),),
    fixed="",
)
STATE = {"weight": torch.zeros(2, 3), "mean": torch.zeros(3), "count": torch.tensor(0)}
KEY = _spoken.Key(1, 0, 2)
HOLDER = _spoken.Holder(1, "tcp://127.0.0.1:1", "node", "/proc/1/fd/3", "/proc/1/fd/4", 4)


@dataclass(frozen=True)
class Decoder:
    """read: raises nothing but `errors`. samples: what it takes. slow: it takes milliseconds."""

    read: Callable[[bytes], Any]
    samples: tuple[bytes, ...]
    errors: tuple[type[Exception], ...] = (ValueError,)
    slow: bool = False


def _framed(how: Any) -> Callable[[bytes], object]:
    def read(content: bytes) -> object:
        parts = [memoryview(bytearray(part)) for part in content.split(b"|")] if content else []
        return Letter(b"", _spoken.Stop(), parts).gradient(how, torch.zeros(4))

    return read


def _messages_of(encode: Callable[[Any], bytes], *messages: Any) -> tuple[bytes, ...]:
    return tuple(map(encode, messages))


def messages() -> Mapping[str, Decoder]:
    """Those of bytes that come through pipes and sockets."""
    return {
        "to the server from a worker": Decoder(
            _worker.decode,
            _messages_of(
                _worker.encode,
                _worker.Ready(),
                _worker.Computed(0, 1, 2, 0.5, True),
                _worker.Evaluated({"loss": None, "accuracy": 0.5}),
                _worker.Failed("Traceback"),
            ),
            (Unreadable,),
        ),
        "to a worker": Decoder(
            _worker.decode_order,
            _messages_of(
                _worker.encode,
                _worker.Compute(1, LEASE, 0),
                _worker.Evaluate(False),
                _worker.Stop(),
            ),
            (Unreadable,),
        ),
        "to the server from a script": Decoder(
            _messages.read_by_server,
            _messages_of(
                _messages.encode,
                _messages.Hello(1, 0),
                DESCRIBED,
                _messages.Begun(50, 8, 1, False),
                _messages.Delivered(0, 1, 2, 0.5, (1.0,)),
                _messages.Paused(),
                _messages.Resumed(),
                _messages.Asked(),
                _messages.Scored({"loss": 0.5}),
                _messages.Logged({"x": None}),
            ),
            (Unreadable,),
        ),
        "to a script": Decoder(
            _messages.read_by_script,
            _messages_of(
                _messages.encode,
                _messages.Seated(4, 0, "/state", "equal", None),
                _messages.Mapped("/memory"),
                _messages.Compute(1, LEASE, 1),
                _messages.Given(),
                _messages.Refused("no"),
                _messages.Stop(),
            ),
            (Unreadable,),
        ),
        "between hosts": Decoder(
            _spoken.read,
            _messages_of(
                _spoken.encode,
                _spoken.Hello(7, "node", HOLDER),
                _spoken.Compute(1, LEASE, 2),
                _spoken.Compute(1, LEASE, None, _spoken.Spot(1, "/proc/1/fd/3", 3, 2, True)),
                _spoken.Brought(1, 2, "/proc/1/fd/3"),
                _spoken.Computed(0, 1, 2, 0.5, 1.5),
                _spoken.Holders((HOLDER, HOLDER)),
                _spoken.Missed(2),
                _spoken.Part(1, 0, 3, None),
                _spoken.Slice(1, 0, 2, True),
                _spoken.Received(KEY, True),
                _spoken.Apply(3, (_spoken.Share(KEY, 1, 8, 0.5),)),
                _spoken.Give(1, 0, 2, 0.5, True, False),
                _spoken.Discard(KEY),
                _spoken.Feed(HOLDER),
                _spoken.Freeze(1),
                _spoken.Copy(1),
                _spoken.Copied(1),
                _spoken.Relayed(_messages.encode(_messages.Asked())),
                _spoken.Printed(("a line",)),
                _spoken.Exited(-9, "it hung"),
                _spoken.Dismissed(),
            ),
            (Unreadable,),
        ),
        "a vector between hosts": Decoder(_framed(None), (bytes(16), b"x|" + bytes(16))),
        "a compressed vector": Decoder(_framed("int8"), (bytes(_compression.size("int8", 4)),)),
        "a sparse vector": Decoder(_framed("topk"), (bytes(_compression.size("topk", 4)),)),
    }


def texts() -> Mapping[str, Decoder]:
    """Those of what people type."""
    samples = {
        "rule": ("dynamic:lr=0.05,weight=exponential:0.5", "clipped(rule=sgd(lr=0.1))"),
        "policy": ("k-batch-async:3", "asynchronous"),
        "delays": ("bursts:base=sampled:gamma(100, scale=0.01)", "stragglers:factor=6"),
        "fault": ("pause:worker=1,at=2s,for=5s", "kill:worker=2,at=30s", "drop:p=0.01"),
        "guard": ("guard:longest=10,strikes=5,spike=20",),
        "schedule": ("cosine(0.1,updates=100)",),
        "set": ("ball:radius=2",),
        "aggregation": ("krum:byzantine=1",),
        "task": ("quadratic:condition=100", "lenet-mnist:batch_size=128"),
    }
    found = {
        f"a specification of a {kind}": Decoder(
            lambda content, kind=kind: specs.parse(kind, content.decode("utf-8", "replace")),
            tuple(text.encode() for text in of_kind),
            slow=True,
        )
        for kind, of_kind in samples.items()
    }
    return {
        **found,
        "a target": Decoder(
            lambda content: Target.parse(content.decode("utf-8", "replace")),
            (b"accuracy>=0.985", b" loss<=1e-3 "),
        ),
        "--slow": Decoder(
            lambda content: _slowness.slowness([content.decode("utf-8", "replace")], None, 4),
            (b"0:6", b"3:1.5"),
        ),
        "--grid": Decoder(
            lambda content: _race._grid([content.decode("utf-8", "replace")]), (b"lr=0.01,0.1",)
        ),
    }


def files(folder: Path) -> Mapping[str, Decoder]:
    """Those of files; `folder` is a place for them."""
    run = folder / "run"
    train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.1),
        runtime=Simulator(restarts=1),
        workers=2,
        delays=Gamma(),
        until=Until(updates=6),
        chaos=("kill:worker=1,at=2.5s", "duplicate:p=0.4"),
        evaluate_every=1.0,
        out=run,
    )

    def in_place_of(name: str, read: Callable[[], Any]) -> Callable[[bytes], Any]:
        whole = (run / name).read_bytes()

        def put(content: bytes) -> Any:
            (run / name).write_bytes(content)
            try:
                return read()
            finally:
                (run / name).write_bytes(whole)

        return put

    def file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        def put(content: bytes) -> Any:
            (folder / name).write_bytes(content)
            return read(folder / name)

        return put

    def lines() -> bytes:
        return (run / "trace.jsonl").read_bytes()

    def replayed() -> object:
        return replay(run, task=small_tasks.blobs)

    kept = folder / "kept"
    kept.mkdir()
    image = checkpoints.Image({"of": 1, "more": [1.5, None, "x"]}, {"params": torch.zeros(3)})
    position = checkpoints.Position(trace=0, trace_sha256="", metrics=0)
    checkpoints.write(
        kept,
        checkpoints.Checkpoint(
            number=0, version=1, seconds=0.5, monotonic=0.0, position=position, image=image
        ),
    )

    def beside(name: str) -> Decoder:
        whole = (kept / name).read_bytes()

        def put(content: bytes) -> Any:
            (kept / name).write_bytes(content)
            found = list(checkpoints.whole(kept))
            (kept / name).write_bytes(whole)
            return found

        return Decoder(put, (whole,), ())

    journal = _journal.Journal(folder / "events")
    values = torch.zeros(3)
    for event in (
        Join(worker=0),
        Pull(worker=0),
        Push(worker=0, sequence=0, version=0, lease=0, values=values, buffers=values.double()),
        Leave(worker=0),
    ):
        journal.event(event)
    journal.note(_journal.Scored(1.0, 1, {"seconds": 1.0}, {"loss": 0.5}))
    journal.close()

    def sealed(content: bytes) -> Any:
        """A frame with its lengths and its CRC put right, as of another version."""
        head, _, body = content.partition(b"|")
        lengths = _journal._LENGTHS.pack(len(head), len(body), zlib.crc32(head + body))
        (folder / "frame").write_bytes(lengths + head + body)
        return list(_journal.read_journal(folder / "frame"))

    def frame(path: Path) -> bytes:
        content = path.read_bytes()
        length, more, _ = _journal._LENGTHS.unpack_from(content)
        start = _journal._LENGTHS.size
        return content[start : start + length] + b"|" + content[start + length :][:more]

    pushes = _journal.Journal(folder / "pushes")
    pushes.event(Push(worker=0, sequence=0, version=0, lease=0, values=values))
    pushes.close()

    labels = _mnist._locate("t10k-labels-idx1-ubyte.gz")
    save_file(STATE, folder / "whole")
    table = b"worker,seed,time\n0,1,0.5\n1,1,0.25\n"

    def cells() -> list[dict[str, Any]]:
        return [{"worker": worker, "seed": 1} for worker in range(2)]

    return {
        "a checkpoint's manifest": beside("00000000.json"),
        "a checkpoint's tensors": beside("00000000.safetensors"),
        "a checkpoint's tree": Decoder(
            _put_back, (msgspec.json.encode(forged_images.IMAGE.tree),), slow=True
        ),
        "a journal": Decoder(
            file("journal", lambda path: list(_journal.read_journal(path))),
            ((folder / "events").read_bytes(),),
        ),
        "a frame of a journal": Decoder(
            sealed, (frame(folder / "events"), frame(folder / "pushes"))
        ),
        "lines of a trace": Decoder(
            file("trace", lambda path: list(read_trace(path))), (lines(), *lines().splitlines())
        ),
        "recorded delays": Decoder(file("trace", job_durations), (lines(),)),
        "recorded delays by name": Decoder(
            file("trace.jsonl", lambda path: specs.parse("delays", f"recorded:{path}")), (lines(),)
        ),
        "a trace, audited": Decoder(
            in_place_of("trace.jsonl", lambda: audit(run)), (lines(),), slow=True
        ),
        "a trace, replayed": Decoder(in_place_of("trace.jsonl", replayed), (lines(),), slow=True),
        "config.json": Decoder(
            in_place_of("config.json", lambda: (audit(run), plot._read(run))),
            ((run / "config.json").read_bytes(),),
            slow=True,
        ),
        "config.json, replayed": Decoder(
            in_place_of("config.json", replayed), ((run / "config.json").read_bytes(),), slow=True
        ),
        "result.json": Decoder(
            in_place_of("result.json", lambda: (audit(run), replayed())),
            ((run / "result.json").read_bytes(),),
            slow=True,
        ),
        "metrics.jsonl": Decoder(
            in_place_of("metrics.jsonl", lambda: plot._read(run)),
            ((run / "metrics.jsonl").read_bytes(),),
        ),
        "weights": Decoder(
            in_place_of("checkpoints/model.safetensors", replayed),
            ((run / "checkpoints" / "model.safetensors").read_bytes(),),
            slow=True,
        ),
        "MNIST": Decoder(
            file("labels", lambda path: _mnist._read_verified(path, labels.name)),
            (labels.read_bytes(),),
        ),
        "the state of a script's model": Decoder(
            file("state", lambda path: _script_model.ScriptModel(DESCRIBED, path)),
            (save(STATE),),
        ),
        "what a script says of its model": Decoder(
            lambda content: (
                _script_model.ScriptModel(_messages.read_by_server(content), folder / "whole")
                if _is_described(content)
                else None
            ),
            (_messages.encode(DESCRIBED),),
        ),
        "the table of a study": Decoder(
            file("table.csv", lambda path: GrowingTable(path, cells()).frame()),
            (table,),
            slow=True,
        ),
    }


def _put_back(content: bytes) -> None:
    tree = decoded(msgspec.json.decode, content)
    tensors = {name: values.clone() for name, values in forged_images.IMAGE.tensors.items()}
    checkpoints.put_back(checkpoints.Image(tree, tensors), forged_images.fresh())


def _is_described(content: bytes) -> bool:
    return isinstance(_messages.read_by_server(content), _messages.Described)


_DEEP = (b"[" * 50_000, b'{"a":' * 50_000, b"\x91" * 100_000, b"(" * 5_000)


def mutate(sample: bytes, draw: random.Random) -> bytes:
    """The sample with a few things done to it, as strangers, disks and bad cables do them."""
    content = bytearray(sample)
    for _ in range(draw.randrange(1, 5)):
        where = draw.randrange(len(content) + 1)
        match draw.randrange(9):
            case 0 if content:
                content[where % len(content)] = draw.randrange(256)
            case 1 if content:
                content[where % len(content)] ^= 1 << draw.randrange(8)
            case 2:
                del content[where:]
            case 3:
                del content[where : where + draw.randrange(1, 9)]
            case 4:
                content[where:where] = draw.randbytes(draw.randrange(1, 9))
            case 5:
                piece = draw.choice(_PIECES)
                content[where : where + draw.choice((0, len(piece)))] = piece
            case 6:
                start = draw.randrange(len(content) + 1)
                content[where:where] = content[start : start + draw.randrange(1, 200)]
            case 7:
                content += draw.randbytes(draw.randrange(1, 40))
            case 8:
                content = _another_number(content, draw)
        if draw.random() < 0.001:
            content[where:where] = draw.choice(_DEEP)
    return bytes(content)


_PIECES = (
    *(b"null", b"NaN", b"1e999", b"-1", b"true", b'""', b"[]", b"{}", b"9" * 400, b'"\\ud800"'),
    *(b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x00" * 8, b"\xdf\xff\xff\xff\xff", b"\xc0"),
    *(b"(", b")", b",", b"=", b":", b"|", b"\n", b"\x7f\xf8\x00\x00\x00\x00\x00\x00", b"-", b"inf"),
)


def _another_number(content: bytearray, draw: random.Random) -> bytearray:
    """A number in a text becomes another one: what a schema of types alone does not catch."""
    digits = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    if not digits:
        return content
    place = draw.choice(digits)
    other = draw.choice((b"0", b"-1", b"7", b"1.5", b"99999999999999999999", b"1e300", b"-0.0"))
    return content[:place] + bytearray(other) + content[place + 1 :]


def sample_of(content: bytes) -> str:
    """For the words of a failing test."""
    return json.dumps(content[:2000].decode("latin-1"))
