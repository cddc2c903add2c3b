"""When the server steps, who waits, what is dropped."""

from ._asynchronous import Asynchronous as Asynchronous
from ._backup_workers import BackupWorkers as BackupWorkers
from ._bounded_staleness import BoundedStaleness as BoundedStaleness
from ._deadline import Deadline as Deadline
from ._k_async import KAsync as KAsync
from ._k_batch_async import KBatchAsync as KBatchAsync
from ._k_batch_sync import KBatchSync as KBatchSync
from ._k_fresh import KFresh as KFresh
from ._k_sync import KSync as KSync
from ._point import Point as Point
from ._ringmaster import Ringmaster as Ringmaster
from ._synchronous import Synchronous as Synchronous

# The textbook names: same policies, no second implementation.
BSP = Synchronous
SSP = BoundedStaleness
Rennala = KBatchSync
SoftSync = KBatchAsync

__all__ = [
    "BSP",
    "SSP",
    "Asynchronous",
    "BackupWorkers",
    "BoundedStaleness",
    "Deadline",
    "KAsync",
    "KBatchAsync",
    "KBatchSync",
    "KFresh",
    "KSync",
    "Point",
    "Rennala",
    "Ringmaster",
    "SoftSync",
    "Synchronous",
]
