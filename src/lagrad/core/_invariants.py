"""What must hold of a server between two events."""

from collections import Counter

from ._interfaces import Policy
from ._leases import LeaseBook
from ._ledger import Ledger
from ._messages import Outcome


def check_books(
    ledger: Ledger, leases: LeaseBook, verdicts: Counter[Outcome], *, pushes: int
) -> None:
    """Assert that ledger, leases and verdicts are right each by itself and with each other."""
    ledger.check()
    leases.check()
    assert pushes == verdicts.total() + len(ledger.buffer)
    assert ledger.version <= verdicts[Outcome.APPLIED]
    known = [member.lease.number for member in ledger.members.values() if member.lease is not None]
    known += [entry.lease.number for entry in ledger.buffer]
    assert sorted(known) == sorted(leases.outstanding)


def check_rest(ledger: Ledger, policy: Policy) -> None:
    """Assert that the machine has run to its fixed point."""
    for worker in ledger.held:
        free = policy.may_pull(worker, ledger) and not ledger.in_quarantine(worker)
        assert not free, f"worker {worker} is held for nothing"
    if ledger.buffer:
        assert not policy.ready(ledger), "a ready buffer was not applied"
