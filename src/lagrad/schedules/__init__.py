"""Schedules: the learning rate as a function of the server's version."""

from ._constant import Constant as Constant
from ._cosine import Cosine as Cosine
from ._inverse_time import InverseTime as InverseTime
from ._schedule import Schedule as Schedule
from ._schedule import as_schedule as as_schedule
from ._step import Step as Step
from ._warmup import Warmup as Warmup

__all__ = [
    "Constant",
    "Cosine",
    "InverseTime",
    "Schedule",
    "Step",
    "Warmup",
    "as_schedule",
]
