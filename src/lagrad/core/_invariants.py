"""What must hold of a server between two events."""

from collections import Counter

from ._interfaces import Policy
from ._leases import LeaseBook
from ._ledger import Ledger
from ._messages import Outcome


def check_pushes(ledger: Ledger, verdicts: Counter[Outcome], *, pushes: int) -> None:
    """Assert that each push has one verdict or waits, and that each step applied one at least."""
    assert pushes == verdicts.total() + len(ledger.buffer)
    assert ledger.version <= verdicts[Outcome.APPLIED]


def check_leases(ledger: Ledger, leases: LeaseBook) -> None:
    """Assert that outstanding leases are those of computing workers and of the buffer."""
    leases.check()
    known = [member.lease.number for member in ledger.members.values() if member.lease is not None]
    known += [entry.lease.number for entry in ledger.buffer]
    assert sorted(known) == sorted(leases.outstanding)


def check_rest(ledger: Ledger, policy: Policy) -> None:
    """Assert that the machine has run to its fixed point."""
    for worker in ledger.held:
        assert not policy.may_pull(worker, ledger), f"worker {worker} is held for nothing"
    if ledger.buffer:
        assert not policy.ready(ledger), "a ready buffer was not applied"
