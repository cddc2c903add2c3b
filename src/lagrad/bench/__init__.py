"""What lagrad costs: measured in turns on one machine, beside its peers and the limits."""

from ._cost import train as train
from ._free import free_task as free_task
from ._harness import Row as Row
from ._harness import in_turns as in_turns
from ._harness import record as record
from ._harness import spread as spread
from ._harness import table as table
from ._push import push as push
from ._race import race as race
from ._server import server as server
from ._simulate import simulate as simulate
