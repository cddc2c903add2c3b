"""One instance of every policy; the contract tests run over all of them."""

from lagrad import policies

POLICIES = [
    policies.Synchronous(),
    policies.BackupWorkers(1),
    policies.BackupWorkers(2),
    policies.KSync(2),
    policies.KBatchSync(3),
    policies.KAsync(2),
    policies.KBatchAsync(3),
    policies.KFresh(2),
    policies.Asynchronous(),
    policies.BoundedStaleness(0),
    policies.BoundedStaleness(2),
    policies.Ringmaster(2),
    policies.Deadline(1.0),
    policies.Point(quorum=2, max_staleness=3, hold=True, bound=2),
]
