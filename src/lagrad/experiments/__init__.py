"""Experiments: functions that return tables, and the figures and verdicts drawn from them."""

from ._catalogue import NAMES as NAMES
from ._catalogue import find as find
from ._experiment import Experiment as Experiment
from ._experiment import Study as Study
from ._experiment import Verdict as Verdict
from ._machine import processor as processor
from ._race_terms import Race as Race
from ._race_terms import quick_race as quick_race
from ._reproduce import Reproduction as Reproduction
from ._reproduce import reproduce as reproduce
from ._reproduce import tables as tables
from .race import race as race
