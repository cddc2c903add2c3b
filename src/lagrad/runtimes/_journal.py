"""Every event since a checkpoint, with its gradients: what a dead server had acknowledged.

A frame is its length, its CRC-32, and a header in JSON followed by the bytes of the gradient and
the buffers. It is given to the system in one call, before the server has seen the event: what has
been answered is in the file when the process dies, and the last frame may be torn.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from lagrad.checkpoints import append
from lagrad.core import Event, Push, decoded
from lagrad.trace import Joined, Left, Pulled, Pushed, Struck, Ticked, event_of, of_event, push_of

_LENGTHS = struct.Struct("<III")  # of the header, of what follows it, CRC-32 of both


class Scored(msgspec.Struct, frozen=True, tag_field="is", tag="scored"):
    """An evaluation came in: its scores, its moment's version and time, its line of metrics."""

    seconds: float
    version: int
    row: dict[str, Any]
    scores: dict[str, float | None]


class _Header(msgspec.Struct, frozen=True):
    record: Joined | Left | Pulled | Pushed | Ticked | Struck | Scored
    loss: str | None = None
    dtype: str = ""
    values: int = 0


_decoder = msgspec.json.Decoder(_Header)


class Journal:
    """Appends frames to a new file; it is never read while it is written. size: in bytes."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)

    def event(self, event: Event) -> None:
        """An event that the server is about to be told."""
        if not isinstance(event, Push):
            self._write(_Header(of_event(event)), [])  # type: ignore[arg-type]
            return
        parts = [_bytes(event.values)]
        if event.buffers is not None:
            parts.append(_bytes(event.buffers))
        header = _Header(
            of_event(event),  # type: ignore[arg-type]
            loss=None if event.loss is None else float(event.loss).hex(),
            dtype=str(event.values.dtype).removeprefix("torch."),
            values=event.values.numel(),
        )
        self._write(header, parts)

    def note(self, record: Struck | Scored) -> None:
        """What happened besides events."""
        self._write(_Header(record), [])

    def _write(self, header: _Header, parts: list[memoryview]) -> None:
        head = msgspec.json.encode(header)
        crc = zlib.crc32(head)
        for part in parts:
            crc = zlib.crc32(part, crc)
        body = sum(map(len, parts))
        append(self._file, [_LENGTHS.pack(len(head), body, crc), head, *parts])
        self.size += _LENGTHS.size + len(head) + body

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_journal(path: Path) -> Iterator[Event | Struck | Scored]:
    """What is in a journal, in order, up to its end or to a frame that is torn.

    Raises: ValueError for a frame that is whole and none of this version's.
    """
    with path.open("rb") as file:
        while len(lengths := file.read(_LENGTHS.size)) == _LENGTHS.size:
            head_length, body_length, crc = _LENGTHS.unpack(lengths)
            left = path.stat().st_size - file.tell()
            # A file that a loss of power left longer than its content ends in zeros.
            if not head_length or head_length + body_length > left:
                return
            head, body = file.read(head_length), file.read(body_length)
            if zlib.crc32(body, zlib.crc32(head)) != crc:
                return
            try:
                header = decoded(_decoder.decode, head)
                record = header.record
                found = record if isinstance(record, Struck | Scored) else _event(header, body)
            except (ValueError, OverflowError) as error:
                raise ValueError(
                    f"Expected {path} as this version writes it, got a frame that is none "
                    f"({error}); resume with the version that the run was made with."
                ) from error
            yield found


def _bytes(values: Tensor) -> memoryview:
    # Viewed as bytes: NumPy has no bfloat16.
    content: Any = values.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(content)


def _event(header: _Header, body: bytes) -> Event:
    match header.record:
        case Pushed() as record:
            dtype = getattr(torch, header.dtype, None)
            if not isinstance(dtype, torch.dtype):
                raise ValueError(f"no type of elements: {header.dtype!r}")
            size = header.values * dtype.itemsize
            content = bytearray(body)
            values = torch.frombuffer(content, dtype=dtype, count=header.values)
            buffers = None
            if len(content) > size:
                buffers = torch.frombuffer(content[size:], dtype=torch.float64)
            loss = None if header.loss is None else float.fromhex(header.loss)
            return push_of(record, values, loss=loss, buffers=buffers)
        case Joined() | Left() | Pulled() | Ticked() as record:
            return event_of(record)
    raise AssertionError(header.record)
