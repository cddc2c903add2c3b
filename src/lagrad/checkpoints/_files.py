"""Files that survive a loss of power: whole, or as they were before."""

import os
from collections.abc import Sequence
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """The file appears with all of its content, on disk, or stays as it was."""
    # A name of its own, should two processes write the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            append(file, [content])
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append(file: int, parts: Sequence[bytes | memoryview]) -> None:
    """Write all parts to an open file, in one call to the system where it takes them."""
    left = [memoryview(part) for part in parts]
    while left:
        written = os.writev(file, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


def sync_folder(folder: Path) -> None:
    """The names in a folder are on disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
