"""Other systems that train with several processes, written as their documentation does it."""

from ._gloo import gloo
from ._hogwild import hogwild
from ._load import Load as Load
from ._load import Measured as Measured
from ._load import Replica as Replica
from ._load import Snapshot as Snapshot
from ._mpi import mpi, mpi_missing
from ._peer import Peer as Peer
from ._peer import versions as versions
from ._ray import ray_example as ray_example
from ._ray import ray_missing
from ._rpc import rpc

#: By the names that tables give them.
PEERS = {
    "hogwild": Peer(hogwild),
    "gloo": Peer(gloo),
    "rpc": Peer(rpc),
    "ray-example": Peer(ray_example, ray_missing),
    "mpi": Peer(mpi, mpi_missing),
}
