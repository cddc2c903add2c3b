"""The server as a state machine: messages, ledger, leases, verdicts, layout."""

from ._average import Average as Average
from ._buffers import BufferPolicy as BufferPolicy
from ._interfaces import Gradient as Gradient
from ._interfaces import Policy as Policy
from ._interfaces import Rule as Rule
from ._interfaces import Weight as Weight
from ._layout import Layout as Layout
from ._leases import Lease as Lease
from ._leases import LeaseBook as LeaseBook
from ._leases import shuffled_order as shuffled_order
from ._ledger import Buffered as Buffered
from ._ledger import Ledger as Ledger
from ._ledger import Member as Member
from ._ledger import RunningMedian as RunningMedian
from ._messages import Command as Command
from ._messages import Event as Event
from ._messages import Join as Join
from ._messages import Leave as Leave
from ._messages import Outcome as Outcome
from ._messages import Pull as Pull
from ._messages import Push as Push
from ._messages import Send as Send
from ._messages import Shutdown as Shutdown
from ._messages import Tick as Tick
from ._messages import Verdict as Verdict
from ._server import Server as Server
