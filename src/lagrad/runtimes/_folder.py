"""The folder of a run: configuration, trace, metrics, weights, result."""

import fcntl
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from lagrad.checkpoints import Position, write_whole
from lagrad.trace import Lines, TraceWriter

from ._keeping import Keeping
from ._left import Left
from ._shortage import unwritable


class Folder:
    """Writes a run's files; every file that is not a log appears whole or not at all.

    path: a folder that does not exist or is empty. keeping: its checkpoints, None for none.
    left: what another process has left of the run, which goes on from there; None for a new one.
    Raises: ValueError if a new run's folder holds anything; OSError if it cannot be written.
    """

    def __init__(self, path: Path, *, keeping: Keeping | None = None) -> None:
        self.path = path
        self.keeping = keeping
        self.left: Left | None = None
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(
                f"Expected a new or empty folder for the run, but {path} holds something; "
                "give another one or remove it."
            )
        try:
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            self.trace = TraceWriter(path / "trace.jsonl")
            self._metrics = Lines(path / "metrics.jsonl")
        except OSError as error:
            raise unwritable(error) from error
        self._lock = _locked(path / "trace.jsonl")

    @classmethod
    def reopen(cls, path: Path, left: Left, *, keeping: Keeping | None) -> "Folder":
        """The folder of a run that goes on: its logs are cut to where its checkpoint was taken."""
        folder = cls.__new__(cls)
        folder.path, folder.keeping, folder.left = path, keeping, left
        position = left.checkpoint.position
        folder._lock = _locked(path / "trace.jsonl")
        try:
            folder.trace = TraceWriter(path / "trace.jsonl", keep=position.trace)
            folder._metrics = Lines(path / "metrics.jsonl", keep=position.metrics)
        except OSError as error:
            raise unwritable(error) from error
        return folder

    @property
    def checkpoints(self) -> Path:
        """Where they lie."""
        return self.path / "checkpoints"

    def position(self) -> Position:
        """Where the logs stand; they are brought that far."""
        self._metrics.flush()
        self.trace.flush()
        return Position(
            trace=self.trace.size,
            trace_sha256=self.trace.sha256,
            metrics=self._metrics.size,
        )

    def sync(self) -> None:
        """Bring the logs to disk, as far as they were flushed; in any thread."""
        self.trace.sync()
        self._metrics.sync()

    def config(self, config: dict[str, Any]) -> None:
        """The whole configuration, with versions, in `config.json`."""
        versions = {
            "lagrad": version("lagrad"),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        }
        try:
            self._json("config.json", {**config, "versions": versions})
        except OSError as error:
            raise unwritable(error) from error

    def amend_config(self, **changes: Any) -> None:
        """The run goes on with other terms."""
        before = json.loads((self.path / "config.json").read_bytes())
        self._json("config.json", {**before, **changes})

    def metrics(self, row: dict[str, Any]) -> None:
        """One line of `metrics.jsonl`, visible to readers at once.

        Lines stand in the order of scoring; `seconds` says which moment each describes.
        """
        self._metrics.write((json.dumps(row, allow_nan=False) + "\n").encode())
        self._metrics.flush()
        self.trace.flush()

    def logged(self, row: dict[str, Any]) -> None:
        """One line of `logged.jsonl`: values that a script wants kept."""
        with (self.path / "logged.jsonl").open("a") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def weights(self, state_dict: dict[str, Tensor], *, best: bool = False) -> None:
        """`checkpoints/model.safetensors`, loadable by plain PyTorch.

        best: whether they are the best so far, and so `best.safetensors`, too.
        """
        content = save(state_dict)
        write_whole(self.checkpoints / "model.safetensors", content)
        if best:
            write_whole(self.checkpoints / "best.safetensors", content)

    def result(self, summary: dict[str, Any]) -> None:
        """`result.json`."""
        self._json("result.json", summary)

    def close(self) -> None:
        """Close the logs."""
        try:
            self._metrics.close()
        finally:
            self.trace.close()
            os.close(self._lock)

    def _json(self, name: str, content: dict[str, Any]) -> None:
        write_whole(
            self.path / name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
        )


def require_idle(run: Path) -> None:
    """Refuse, by a ValueError, the folder of a run that a process is carrying out."""
    os.close(_locked(run / "trace.jsonl"))


def _locked(path: Path) -> int:
    """The file, open, as long as it is being written by this process and no other."""
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise ValueError(
            f"Expected a run that no process carries out, got {path.parent}, which is going on; "
            "wait for its end, or interrupt it first."
        ) from None
    return file
