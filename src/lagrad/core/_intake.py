"""What becomes of a push on arrival: it joins the step's buffer, or gets its verdict at once."""

from ._guard import Norms
from ._interfaces import Policy
from ._judging import malformed, not_finite, stranger, verdict
from ._leases import LeaseBook
from ._ledger import Buffered, Ledger
from ._messages import Outcome, Push, Verdict
from ._trained import Trained


def take_in(
    push: Push,
    ledger: Ledger,
    leases: LeaseBook,
    policy: Policy,
    trained: Trained,
    *,
    norms: Norms,
    release_dropped: bool,
) -> Verdict | None:
    """Enter the push in the books; None if it waits in the buffer for its step."""
    member = ledger.members.get(push.worker)
    if member is None or member.incarnation != push.incarnation:
        return verdict(push, Outcome.REJECTED, reason=stranger(push, member))
    if push.sequence <= member.sequence:
        reason = f"push {push.sequence} of worker {push.worker} has come before"
        return verdict(push, Outcome.DUPLICATE, reason=reason)
    fault = malformed(
        push, member, version=ledger.version, layout=trained.layout, buffers=trained.buffers
    )
    if fault:
        return verdict(push, Outcome.REJECTED, reason=fault)
    lease = member.lease
    assert lease is not None
    member.lease = None
    member.sequence = push.sequence
    ledger.advance(member)
    ledger.durations.add(ledger.now - member.sent_at)
    fault = not_finite(push, trained.buffers) or norms.too_long(push)
    if fault:
        member.strikes += 1
        leases.settle(lease)
        return verdict(push, Outcome.REJECTED, reason=fault)
    member.strikes = 0
    tau = ledger.tau(push)
    reason = trained.outdated(push) or policy.accepts(push, ledger)
    if reason:
        if release_dropped:
            leases.give_back(lease)
        else:
            leases.settle(lease)
        return verdict(push, Outcome.DROPPED, tau=tau, reason=reason)
    ledger.put(Buffered(push, tau, lease, member.snapshot, push.values), member)
    return None
