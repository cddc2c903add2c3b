"""Writing and reading a trace: one JSON object per line."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from lagrad.core import Command, Event, Push, Send, Unreadable, Verdict, decoded

from ._lines import Lines
from ._records import AnyRecord, Ended, Pulled, Pushed, Sent, Struck, of_command, of_event

#: Of a line, in bytes; so that a file without an end of line takes no memory.
_LONGEST = 1 << 20

#: Records that are encoded and hashed at a time, which takes half as long as one by one.
_BLOCK = 64

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyRecord)


class TraceWriter:
    """Appends records to a trace and keeps their SHA-256.

    path: of the file to make, or None to keep the hash alone. keep: of a file that is there, how
    many bytes are kept; it goes on from there. Raises: OSError, once, when the disk takes no more;
    the hash goes on.
    """

    def __init__(self, path: Path | None, *, keep: int | None = None) -> None:
        self._lines = None if path is None else Lines(path, keep=keep)
        self._hash = hashlib.sha256()
        self._waiting: list[AnyRecord] = []
        if path is not None and keep:
            with path.open("rb") as before:
                while part := before.read(min(1 << 20, keep - before.tell())):
                    self._hash.update(part)

    def event(self, event: Event, commands: list[Command]) -> None:
        """One event and the server's answer to it."""
        self._write(of_event(event))
        for command in commands:
            self._write(of_command(command))

    def exchange(self, push: Push, verdict: Verdict, sent: Send) -> None:
        """A push that was a step, and the pull right after it."""
        pulled = Pulled(push.time, push.worker, push.incarnation)
        self._waiting += (of_event(push), of_command(verdict), pulled, of_command(sent))
        if len(self._waiting) >= _BLOCK:
            self._encode()

    def struck(self, record: Struck) -> None:
        """A fault that was asked for happens now, before the event that shows it."""
        self._write(record)

    def end(self, *, version: int, stopped: str, params: Tensor) -> None:
        """The last line."""
        self._write(Ended(version, stopped, digest(params)))
        self.close()

    def _write(self, record: AnyRecord) -> None:
        self._waiting.append(record)
        if len(self._waiting) >= _BLOCK:
            self._encode()

    def _encode(self) -> None:
        """Hash and write what waits."""
        waiting, self._waiting = self._waiting, []
        lines = _encoder.encode_lines(waiting)
        self._hash.update(lines)
        if self._lines is not None:
            self._lines.write(lines)

    @property
    def size(self) -> int:
        """Length so far, in bytes; 0 without a file."""
        self._encode()
        return 0 if self._lines is None else self._lines.size

    @property
    def sha256(self) -> str:
        """Hash of all lines so far."""
        self._encode()
        return self._hash.hexdigest()

    def flush(self) -> None:
        """Bring what was written to the file."""
        self._encode()
        if self._lines is not None:
            self._lines.flush()

    def sync(self) -> None:
        """Bring the file to disk, as far as it was flushed; in any thread."""
        if self._lines is not None:
            self._lines.sync()

    def close(self) -> None:
        """Close the file; writing after it does nothing."""
        self._encode()
        if self._lines is not None:
            self._lines.close()


def read_trace(path: Path) -> Iterator[AnyRecord]:
    """The records of a trace, in order.

    Raises: ValueError naming the line that is no record (a run that was killed may end in one).
    """
    with path.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST), b""), start=1):
            try:
                yield decoded(_decoder.decode, line)
            except Unreadable as error:
                raise ValueError(
                    f"Line {number} of {path} is not a record of a trace ({error}); "
                    "the file is damaged or the run was killed while writing."
                ) from error


def digest(params: Tensor) -> str:
    """SHA-256 of the parameters' bytes: equal digests mean equal bits.

    >>> digest(torch.zeros(2))[:8]
    'af5570f5'
    """
    # Viewed as bytes: NumPy has no bfloat16.
    content = params.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(content.numpy().tobytes()).hexdigest()


def job_durations(path: Path) -> tuple[tuple[float, ...], ...]:
    """Per worker, the seconds between its Sends and the pushes that answered them."""
    clock = 0.0
    sent_at: dict[tuple[int, int], float] = {}
    durations: dict[int, list[float]] = {}
    for record in read_trace(path):
        clock = getattr(record, "time", clock)
        if isinstance(record, Sent):
            sent_at[record.worker, record.lease] = clock
        elif isinstance(record, Pushed) and (record.worker, record.lease) in sent_at:
            # Of its own lease: a push that comes twice answers nothing the second time.
            began = sent_at.pop((record.worker, record.lease))
            durations.setdefault(record.worker, []).append(clock - began)
        elif isinstance(record, Pulled):
            for key in [key for key in sent_at if key[0] == record.worker]:
                del sent_at[key]
    if not durations:
        raise ValueError(
            f"Expected a trace with finished jobs, got none in {path}; let the run be longer."
        )
    return tuple(tuple(durations.get(worker, ())) for worker in range(max(durations) + 1))
