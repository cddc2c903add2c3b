"""Many pushes at a time, each a step of its own and followed by its worker's pull."""

from collections.abc import Sequence

from torch import Tensor

from ._interfaces import Gradient
from ._leases import LeaseBook
from ._ledger import Ledger
from ._messages import Outcome, Push, Send, Verdict
from ._trained import Trained


def exchange(
    pushes: Sequence[Push],
    values: Tensor,
    ledger: Ledger,
    leases: LeaseBook,
    trained: Trained,
) -> list[tuple[Verdict, Send]]:
    """The answers to each push and its worker's pull; see `Server.exchange`.

    What is left out of the server's way through an event is what has no effect here: a buffer that
    is emptied at once, questions whose answers are known, held workers.
    values: the gradients of all the pushes, [n, P].
    """
    answers, looks, weights, taus = [], [], [], []
    for push in pushes:
        worker, now, version = push.worker, push.time, ledger.version
        member = ledger.members[worker]
        lease = member.lease
        assert lease is not None, f"worker {worker} has no lease"
        assert (push.lease, push.version) == (lease.number, member.version)
        member.sequence = push.sequence
        member.strikes = 0
        ledger.now = ledger.opened_at = now
        ledger.advance(member)
        ledger.durations.add(now - member.sent_at)
        tau = version - push.version
        gradient = Gradient(
            worker=worker, tau=tau, samples=lease.samples, values=push.values, rates=push.rates
        )
        weight = trained.step_alone(gradient, version=version)
        looks.append(trained.total_momentum.look(trained.holder))
        weights.append(weight)
        taus.append(tau)
        ledger.version = version = version + 1
        ledger.taus.add(tau)
        leases.settle(lease)
        member.lease = lease = leases.issue()
        member.version = version
        member.sent_at = now
        sent = Send(
            worker=worker,
            incarnation=member.incarnation,
            version=version,
            lease=lease,
            point=trained.point(ledger).clone(),
        )
        applied = Verdict(
            worker=worker,
            incarnation=member.incarnation,
            sequence=push.sequence,
            outcome=Outcome.APPLIED,
            tau=tau,
            weight=weight,
        )
        answers.append((applied, sent))
    trained.total_momentum.steps(looks, values, weights, taus)
    return answers
