"""What lagrad costs: measured in turns, on one machine, in processor time."""

from ._harness import Row as Row
from ._harness import in_turns as in_turns
from ._harness import record as record
from ._harness import table as table
from ._server import server as server
from ._simulate import simulate as simulate
