"""A file of lines that grows while a run goes on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path


class Lines:
    """Appends lines to a new file, or to one of which the first `keep` bytes are kept.

    When the disk takes no more, that is raised once, by whatever was asked; from then on nothing
    is written, and closing is no second error. The last line may be half one then.
    """

    def __init__(self, path: Path, *, keep: int | None = None) -> None:
        if keep is not None:
            os.truncate(path, keep)
        self._file: BufferedWriter = path.open("xb" if keep is None else "ab")
        #: In bytes, with what waits in memory.
        self.size = keep or 0

    def write(self, lines: bytes) -> None:
        """Whole lines; they may wait in memory."""
        if not self._file.closed:
            with self._giving_up():
                self._file.write(lines)
                self.size += len(lines)

    def flush(self) -> None:
        """Bring what waits to the file."""
        if not self._file.closed:
            with self._giving_up():
                self._file.flush()

    def sync(self) -> None:
        """Bring what is in the file to disk; in any thread."""
        if not self._file.closed:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """The end; writing after it does nothing."""
        with self._giving_up():
            self._file.close()

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._file.raw.close()  # and with it what waits, which would fail again
            raise
