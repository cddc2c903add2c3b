"""The log of a run: every event and command in order, to read, compare and replay."""

from ._audit import Auditor as Auditor
from ._audit import Promise as Promise
from ._audit import Promised as Promised
from ._lines import Lines as Lines
from ._log import TraceWriter as TraceWriter
from ._log import digest as digest
from ._log import job_durations as job_durations
from ._log import read_trace as read_trace
from ._records import SERVER as SERVER
from ._records import AnyRecord as AnyRecord
from ._records import Ended as Ended
from ._records import Joined as Joined
from ._records import Judged as Judged
from ._records import Left as Left
from ._records import Pulled as Pulled
from ._records import Pushed as Pushed
from ._records import PutAside as PutAside
from ._records import Quarantined as Quarantined
from ._records import RolledBack as RolledBack
from ._records import Sent as Sent
from ._records import Struck as Struck
from ._records import Ticked as Ticked
from ._records import ToldToEnd as ToldToEnd
from ._records import of_command as of_command
from ._records import of_event as of_event
