"""The command `lagrad`. It takes signals before it imports its parts: Ctrl+C may come at once."""

import signal
import sys
from types import FrameType
from typing import NoReturn

from ._codes import INTERRUPTED

__all__ = ["main"]


def main() -> None:
    """Run the command."""
    # A run has its own handlers, which let it end in order; these are for what lies around it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    # A task of the user's own may lie in the current folder, as with `python -m`.
    sys.path.insert(0, "")

    from ._commands import app
    from ._supervisor import Supervisor

    app(obj=Supervisor())


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise SystemExit(INTERRUPTED)
