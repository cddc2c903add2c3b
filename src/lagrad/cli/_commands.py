"""The commands of `lagrad`: one file for each, in the order of its help."""

from ._app import app

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
    "plot",
    "race",
    "replay",
    "reproduce",
    "run",
    "train",
]
