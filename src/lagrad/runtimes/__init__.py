"""Where training happens: in virtual time, in processes, on a Ray cluster, or from a record."""

from ._bounded import bounded as bounded
from ._bounded import receive as receive
from ._folder import Folder as Folder
from ._folder import write_whole as write_whole
from ._local import Local as Local
from ._ray import Ray as Ray
from ._rehearsal import rehearse as rehearse
from ._replay import Replayed as Replayed
from ._replay import replay as replay
from ._result import Evaluation as Evaluation
from ._result import Result as Result
from ._result import RunFailed as RunFailed
from ._result import Stopped as Stopped
from ._result import WorkerTally as WorkerTally
from ._result import mean_staleness as mean_staleness
from ._run import Moment as Moment
from ._run import Observer as Observer
from ._run import Run as Run
from ._run import new_server as new_server
from ._setup import Setup as Setup
from ._setup import Target as Target
from ._setup import Until as Until
from ._shortage import shortage as shortage
from ._simulator import Simulator as Simulator
from ._timing import Timing as Timing
from ._timing import time_steps as time_steps
