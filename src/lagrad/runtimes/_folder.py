"""The folder of a run: configuration, trace, metrics, weights, result."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from lagrad.trace import Lines, TraceWriter

from ._shortage import unwritable


class Folder:
    """Writes a run's files; every file that is not a log appears whole or not at all.

    path: a folder that does not exist or is empty. Raises: ValueError if it holds anything;
    OSError if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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

    def weights(self, state_dict: dict[str, Tensor]) -> None:
        """`checkpoints/model.safetensors`, loadable by plain PyTorch."""
        write_whole(self.path / "checkpoints" / "model.safetensors", save(state_dict))

    def result(self, summary: dict[str, Any]) -> None:
        """`result.json`."""
        self._json("result.json", summary)

    def close(self) -> None:
        """Close the logs."""
        try:
            self._metrics.close()
        finally:
            self.trace.close()

    def _json(self, name: str, content: dict[str, Any]) -> None:
        write_whole(
            self.path / name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
        )


def write_whole(path: Path, content: bytes) -> None:
    """The file appears with all of its content, on disk, or stays as it was."""
    # A name of its own, should two processes write the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
