"""The command `lagrad`: one file for each of its commands, in the order of its help."""

import signal
import sys
from types import FrameType
from typing import NoReturn

from ._app import app
from ._errors import INTERRUPTED
from ._supervisor import Supervisor

# The order of the help is that of the imports.
# isort: off
from ._train import train
from ._run import run
from ._replay import replay
from ._audit import audit
from ._list import list_names
from ._plot import plot
from ._demo import demo
from ._reproduce import reproduce
from ._race import race
from ._bench import bench
# isort: on

__all__ = [
    "app",
    "audit",
    "bench",
    "demo",
    "list_names",
    "main",
    "plot",
    "race",
    "replay",
    "reproduce",
    "run",
    "train",
]


def main() -> None:
    """Run the command."""
    # A run has its own handlers, which let it end in order; these are for what lies around it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    # A task of the user's own may lie in the current folder, as with `python -m`.
    sys.path.insert(0, "")
    app(obj=Supervisor())


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise SystemExit(INTERRUPTED)
