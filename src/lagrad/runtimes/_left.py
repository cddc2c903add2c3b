"""What a process has left of a run in its folder, from which another one goes on."""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lagrad.checkpoints import Checkpoint, Position, whole
from lagrad.core import Unreadable, decoded
from lagrad.trace import SERVER, AnyRecord, Struck

_decoder = msgspec.json.Decoder(AnyRecord)


@dataclass(frozen=True)
class Left:
    """checkpoint: the newest that can be relied on. journals: of what came after it, in order.

    killed_by: the faults that killed the server after it. died_at: when the process died, by
    `time.monotonic`, if it just has, so that the run's clock has gone on; else None.
    """

    checkpoint: Checkpoint
    journals: tuple[Path, ...]
    killed_by: tuple[Struck, ...]
    died_at: float | None = None


def left_in(run: Path, *, died_at: float | None = None) -> Left:
    """Look through the folder of a run, and change nothing. died_at: see `Left`.

    Warns: UserWarning naming each checkpoint that is refused, and why.
    Raises: ValueError if none can be relied on.
    """
    folder = run / "checkpoints"
    for checkpoint in whole(folder):
        fault = _beside(run, checkpoint.position)
        if not fault:
            journals = sorted(
                path for path in folder.glob("*.journal") if int(path.stem) >= checkpoint.number
            )
            killed_by = _kills(run / "trace.jsonl", checkpoint.position.trace)
            return Left(checkpoint, tuple(journals), killed_by, died_at)
        warnings.warn(
            f"Checkpoint {checkpoint.number:08d} of {folder} is refused: {fault}.", stacklevel=2
        )
    raise ValueError(
        f"Expected a checkpoint in {folder} from which the run can go on, got none that is whole; "
        "start it anew, in another folder."
    )


def _beside(run: Path, position: Position) -> str:
    """What is wrong with the logs that a checkpoint goes with; empty if nothing."""
    try:
        with (run / "trace.jsonl").open("rb") as trace:
            before = hashlib.sha256(trace.read(position.trace))
        if before.hexdigest() != position.trace_sha256:
            return "the trace before it is not what was written"
        if (run / "metrics.jsonl").stat().st_size < position.metrics:
            return "the metrics before it were cut"
    except OSError as error:
        return f"a log of the run cannot be read ({error})"
    return ""


def _kills(trace: Path, after: int) -> tuple[Struck, ...]:
    """The faults that killed the server, in the part of a trace that is given up."""
    found = []
    with trace.open("rb") as lines:
        lines.seek(after)
        for line in lines:
            try:
                record = decoded(_decoder.decode, line)
            except Unreadable:
                break  # the last line of a process that died
            if isinstance(record, Struck) and record.worker == SERVER:
                found.append(record)
    return tuple(found)
