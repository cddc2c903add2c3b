"""Faults on purpose: what goes wrong, as data; runtimes carry it out."""

from ._drop import Drop as Drop
from ._duplicate import Duplicate as Duplicate
from ._fault import Fault as Fault
from ._fault import Moment as Moment
from ._kill import Kill as Kill
from ._nan import Nan as Nan
from ._pause import Pause as Pause
from ._plan import Plan as Plan
from ._preempt import Preempt as Preempt
from ._slow import Slow as Slow

__all__ = ["Drop", "Duplicate", "Fault", "Kill", "Nan", "Pause", "Plan", "Preempt", "Slow"]
