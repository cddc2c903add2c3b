"""Train PyTorch models on uneven machines, and make use of the gradients that come late."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Imported on first use: `lagrad --help` shall not wait for torch.
_HOMES = {
    "train": "lagrad._train",
    "replay": "lagrad._train",
    "resume": "lagrad._resume",
    "join": "lagrad.sessions",
    "Session": "lagrad.sessions",
    "audit": "lagrad._audit",
    "Until": "lagrad.runtimes",
    "Result": "lagrad.runtimes",
    "Task": "lagrad.tasks",
    "Samples": "lagrad.tasks",
    "Stream": "lagrad.tasks",
}
_ROOMS = (
    "aggregations",
    "chaos",
    "core",
    "delays",
    "policies",
    "rules",
    "runtimes",
    "schedules",
    "sets",
    "tasks",
    "weights",
)

if TYPE_CHECKING:
    from lagrad import aggregations as aggregations
    from lagrad import chaos as chaos
    from lagrad import core as core
    from lagrad import delays as delays
    from lagrad import policies as policies
    from lagrad import rules as rules
    from lagrad import runtimes as runtimes
    from lagrad import schedules as schedules
    from lagrad import sets as sets
    from lagrad import tasks as tasks
    from lagrad import weights as weights
    from lagrad._audit import audit as audit
    from lagrad._resume import resume as resume
    from lagrad._train import replay as replay
    from lagrad._train import train as train
    from lagrad.runtimes import Result as Result
    from lagrad.runtimes import Until as Until
    from lagrad.sessions import Session as Session
    from lagrad.sessions import join as join
    from lagrad.tasks import Samples as Samples
    from lagrad.tasks import Stream as Stream
    from lagrad.tasks import Task as Task

__all__ = sorted((*_HOMES, *_ROOMS))  # noqa: PLE0605 -- one list serves both


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"lagrad.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lagrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
