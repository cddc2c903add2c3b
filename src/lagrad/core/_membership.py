"""How workers come, ask and go: what the ledger and the leases make of it."""

from ._judging import stranger
from ._leases import LeaseBook
from ._ledger import Ledger, Member
from ._messages import Join, Leave, Pull, SetAside


def require_new(event: Join, ledger: Ledger) -> None:
    """Refuse an incarnation that is not above the live one, by a ValueError."""
    present = ledger.members.get(event.worker)
    if present is not None and event.incarnation <= present.incarnation:
        raise ValueError(
            f"Worker {event.worker} joined as incarnation {event.incarnation}, but incarnation "
            f"{present.incarnation} is live; a rejoining worker needs a higher one."
        )


def join(event: Join, ledger: Ledger, leases: LeaseBook) -> None:
    """A worker is there; its incarnation before, if still live, is over."""
    present = ledger.members.get(event.worker)
    if present is not None:
        _remove(event.worker, present, ledger, leases)
    ledger.members[event.worker] = Member(event.incarnation)


def leave(
    event: Leave, ledger: Ledger, leases: LeaseBook, *, attempts: int | None
) -> SetAside | None:
    """A worker is gone; its gradients in the buffer stay. What is given up with it, if anything.

    attempts: so many workers that fail over a lease, and nobody is sent it any more.
    """
    member = ledger.members.get(event.worker)
    # A death may be noticed twice, and after the next incarnation has joined.
    if member is None or member.incarnation != event.incarnation:
        return None
    lease, failures = member.lease, None
    if event.failed and lease is not None:
        failures = leases.fail(lease, attempts=attempts)
        member.lease = None
    _remove(event.worker, member, ledger, leases)
    if lease is None or failures is None:
        return None
    return SetAside(lease=lease, failures=failures)


def _remove(worker: int, member: Member, ledger: Ledger, leases: LeaseBook) -> None:
    _take_back(member, leases)
    ledger.held.pop(worker, None)
    ledger.own(worker)
    ledger.end(member)
    del ledger.members[worker]


def hold(event: Pull, ledger: Ledger, leases: LeaseBook) -> str:
    """A worker that asks is held until it is released; in words, why one is not."""
    member = ledger.members.get(event.worker)
    if member is None or member.incarnation != event.incarnation:
        return stranger(event, member)
    # One that asks anew without having pushed has lost what it was sent.
    _take_back(member, leases)
    ledger.held[event.worker] = event.batch_size
    return ""


def _take_back(member: Member, leases: LeaseBook) -> None:
    if member.lease is not None:
        leases.give_back(member.lease)
        member.lease = None
