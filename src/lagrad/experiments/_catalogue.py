"""The experiments by their names; each is imported when it is asked for."""

import difflib
import importlib

from ._experiment import Experiment

NAMES = (
    "motivation",
    "bound",
    "momentum",
    "optimal-momentum",
    "runtime",
    "staleness",
    "jain",
)


def find(name: str) -> Experiment:
    """The experiment of that name. Raises: ValueError listing the near ones.

    >>> find("jain").title
    'LeNet with momentum 0.9 under a constant delay'
    """
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(NAMES)}."
        raise ValueError(f"Expected the name of an experiment, or all, got {name!r}; {hint}")
    module = importlib.import_module(f"lagrad.experiments.{name.replace('-', '_')}")
    experiment: Experiment = module.EXPERIMENT
    return experiment
