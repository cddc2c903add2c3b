"""The server: a state machine without clock, randomness, files, sockets, processes or threads.

Theory of operation. Whoever runs the server feeds it events one at a time through `handle` and
carries out the commands it gets back. A worker joins, pulls, is sent a point, a version and a
lease, computes, pushes, and pulls again. After every event the machine runs to a fixed point:

1. the event enters the ledger: a push is accepted into the step's buffer, or dropped, or rejected;
2. while the policy calls the buffer ready, the buffer becomes one step: it is sorted by lease,
   handed to the rule, the version goes up by one, each of its pushes is applied;
3. every held worker that the policy now lets pull is sent the newest point and a lease; workers
   held before are asked about again only if a step, a Tick, a change of membership or of the
   slowest clock may have changed the answer.

Since 2 and 3 follow *every* event, also a worker's death, a lost worker cannot hang the others.

What always holds (asserted by `check`): each push has got one verdict or waits in the buffer; the
version equals the number of steps; every sample handed out is settled, outstanding or returned to
the pool, once; a worker that is held has no lease; a gradient's staleness counts the versions
between its Send and its step, before the step's own bump.

A fault of the other side (an unknown worker, a push of the wrong size or from the future, values
that are not finite) gets a verdict and harms nobody. A fault of the caller (joining twice) raises
and changes nothing.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._average import Average
from ._buffers import BufferPolicy, combine
from ._interfaces import Gradient, Policy, Rule
from ._layout import Layout
from ._leases import LeaseBook
from ._ledger import Buffered, Ledger, Member
from ._messages import (
    Command,
    Event,
    Join,
    Leave,
    Outcome,
    Pull,
    Push,
    Send,
    Shutdown,
    Tick,
    Verdict,
)


class Server:
    """Parameters, a rule that moves them and a policy that says when: events in, commands out.

    params: [P], owned and changed in place by the server from now on. layout: its names.
    leases: the pool of samples. buffers: [B] float64 of the model, or None; `counters`: bool [B],
    which of them are integers. ema: decay of the averaged weights in [0, 1), or None for none.
    release_dropped: whether the lease of a dropped gradient returns to the pool.

    >>> from lagrad import policies, rules
    >>> layout = Layout(("x",), ((1,),), torch.float64)
    >>> server = Server(torch.tensor([8.0], dtype=torch.float64), layout=layout,
    ...     rule=rules.SGD(lr=0.25), policy=policies.Asynchronous(), leases=LeaseBook(None))
    >>> server.handle(Join(worker=0))
    []
    >>> [sent] = server.handle(Pull(worker=0))
    >>> [verdict] = server.handle(Push(worker=0, sequence=0, version=sent.version,
    ...     lease=sent.lease.number, values=2 * sent.point))
    >>> verdict.outcome.value, verdict.tau, server.params.item(), server.version
    ('applied', 0, 4.0, 1)
    """

    def __init__(
        self,
        params: Tensor,
        *,
        layout: Layout,
        rule: Rule,
        policy: Policy,
        leases: LeaseBook,
        buffers: Tensor | None = None,
        counters: Tensor | None = None,
        buffer_policy: BufferPolicy = BufferPolicy.MEAN,
        ema: float | None = None,
        release_dropped: bool = True,
    ) -> None:
        if params.shape != (layout.size,) or params.dtype != layout.dtype:
            raise ValueError(
                f"Expected params of {layout.size} elements of {layout.dtype}, "
                f"got {tuple(params.shape)} of {params.dtype}."
            )
        if ema is not None and not 0 <= ema < 1:
            raise ValueError(f"Expected ema in [0, 1) or None, got {ema}.")
        self.params = params
        self.rule = rule
        self.policy = policy
        self.leases = leases
        self.ledger = Ledger()
        self.state: Any = rule.init(params, layout)
        self.buffers = buffers
        self.average = None if ema is None else Average(ema, params.clone())
        self.verdicts: Counter[Outcome] = Counter()
        self._counters = (
            counters
            if buffers is None or counters is not None
            else torch.zeros_like(buffers, dtype=torch.bool)
        )
        self._buffer_policy = buffer_policy
        self._release_dropped = release_dropped
        self._pushes = 0
        self._ask_again = False
        self._handlers: dict[type, Callable[[Any, list[Command]], None]] = {
            Join: self._on_join,
            Leave: self._on_leave,
            Pull: self._on_pull,
            Push: self._on_push,
            Tick: self._on_tick,
        }

    @property
    def version(self) -> int:
        """Number of steps taken."""
        return self.ledger.version

    @property
    def evaluation_params(self) -> Tensor:
        """The averaged weights if the run keeps them, else the parameters; read only."""
        return self.params if self.average is None else self.average.values

    def next_tick(self) -> float | None:
        """When the policy wants a Tick, or None."""
        return self.policy.next_deadline(self.ledger) if self.ledger.buffer else None

    def handle(self, event: Event) -> list[Command]:
        """Take one event in; return what is to be done, in order.

        Raises: ValueError for an event that the caller must not send; nothing is changed then.
        """
        commands: list[Command] = []
        ledger = self.ledger
        before = ledger.now
        ledger.now = max(before, event.time)
        try:
            self._handlers[type(event)](event, commands)
        except ValueError:
            ledger.now = before
            raise
        while ledger.buffer and self.policy.ready(ledger):
            self._step(commands)
        if self._ask_again:
            self._ask_again = False
            for worker in list(ledger.held):
                self._release(worker, commands)
        elif type(event) is Pull and event.worker in ledger.held:
            self._release(event.worker, commands)
        return commands

    def _on_tick(self, event: Tick, _: list[Command]) -> None:
        del event
        self._ask_again = True

    def _on_join(self, event: Join, _: list[Command]) -> None:
        present = self.ledger.members.get(event.worker)
        if present is not None and event.incarnation <= present.incarnation:
            raise ValueError(
                f"Worker {event.worker} joined as incarnation {event.incarnation}, but incarnation "
                f"{present.incarnation} is live; a rejoining worker needs a higher one."
            )
        if present is not None:
            self._remove(event.worker, present)
        self.ledger.members[event.worker] = Member(event.incarnation)

    def _on_leave(self, event: Leave, _: list[Command]) -> None:
        member = self.ledger.members.get(event.worker)
        # A death may be noticed twice, and after the next incarnation has joined.
        if member is not None and member.incarnation == event.incarnation:
            self._remove(event.worker, member)

    def _remove(self, worker: int, member: Member) -> None:
        ledger = self.ledger
        if member.lease is not None:
            self.leases.give_back(member.lease)
            member.lease = None
        ledger.held.pop(worker, None)
        for entry in ledger.buffer:
            if entry.push.worker == worker:
                self._own(entry)
        ledger.end(member)
        del ledger.members[worker]
        self._ask_again = True

    def _on_pull(self, event: Pull, commands: list[Command]) -> None:
        member = self.ledger.members.get(event.worker)
        if member is None or member.incarnation != event.incarnation:
            reason = self._stranger(event.worker, event.incarnation)
            commands.append(
                Shutdown(worker=event.worker, incarnation=event.incarnation, reason=reason)
            )
            return
        if member.lease is not None:
            # It asks anew without having pushed: it has lost what it was sent.
            self.leases.give_back(member.lease)
            member.lease = None
        self.ledger.held[event.worker] = None

    def _stranger(self, worker: int, incarnation: int) -> str:
        member = self.ledger.members.get(worker)
        if member is None:
            return f"worker {worker} is not a member; it has to join first"
        return f"incarnation {incarnation} of worker {worker} is over; {member.incarnation} is live"

    def _release(self, worker: int, commands: list[Command]) -> None:
        ledger = self.ledger
        if not self.policy.may_pull(worker, ledger):
            return
        del ledger.held[worker]
        member = ledger.members[worker]
        if not member.takes_part:
            ledger.begin(member)
        if member.buffered:
            # It will write its next gradient where the buffered one lies.
            for entry in ledger.buffer:
                if entry.push.worker == worker:
                    self._own(entry)
        lease = self.leases.issue()
        expected_tau = ledger.taus.value() if self.rule.looks_ahead else 0.0
        point = self.rule.point(
            self.params, self.state, version=ledger.version, expected_tau=expected_tau
        )
        member.lease = lease
        member.version = ledger.version
        member.sent_at = ledger.now
        if self.rule.needs_snapshots:
            member.snapshot = point.clone()
        commands.append(
            Send(
                worker=worker,
                incarnation=member.incarnation,
                version=ledger.version,
                lease=lease,
                point=point,
                buffers=self.buffers,
            )
        )

    def _own(self, entry: Buffered) -> None:
        if entry.borrowed:
            entry.values = entry.values.clone()
            entry.borrowed = False

    def _on_push(self, push: Push, commands: list[Command]) -> None:
        self._pushes += 1
        ledger = self.ledger
        member = ledger.members.get(push.worker)
        if member is None or member.incarnation != push.incarnation:
            self._judge(
                push,
                Outcome.REJECTED,
                commands,
                reason=self._stranger(push.worker, push.incarnation),
            )
            return
        if push.sequence <= member.sequence:
            reason = f"push {push.sequence} of worker {push.worker} has come before"
            self._judge(push, Outcome.DUPLICATE, commands, reason=reason)
            return
        fault = self._malformed(push, member)
        if fault:
            self._judge(push, Outcome.REJECTED, commands, reason=fault)
            return
        lease = member.lease
        assert lease is not None
        member.lease = None
        member.sequence = push.sequence
        floor = ledger.floor
        ledger.advance(member)
        if ledger.floor != floor:
            self._ask_again = True
        ledger.durations.add(ledger.now - member.sent_at)
        if not _finite(push):
            self.leases.settle(lease)
            reason = f"the gradient or the loss ({push.loss}) is not finite"
            self._judge(push, Outcome.REJECTED, commands, reason=reason)
            return
        tau = ledger.version - push.version
        reason = self.policy.accepts(push, ledger)
        if reason:
            if self._release_dropped:
                self.leases.give_back(lease)
            else:
                self.leases.settle(lease)
            self._judge(push, Outcome.DROPPED, commands, tau=tau, reason=reason)
            return
        ledger.put(Buffered(push, tau, lease, member.snapshot, push.values), member)

    def _malformed(self, push: Push, member: Member) -> str:  # noqa: PLR0911 -- one fault each
        if member.lease is None or push.lease != member.lease.number:
            return f"worker {push.worker} does not hold lease {push.lease}"
        if push.version > self.ledger.version:
            return (
                f"push at version {push.version}, but the server is at version "
                f"{self.ledger.version}; a push cannot come from the future"
            )
        if push.version != member.version:
            return f"push at version {push.version}, but worker was sent version {member.version}"
        values = push.values
        if values.shape != self.params.shape or values.dtype != self.params.dtype:
            return (
                f"expected {self.params.numel()} values of {self.params.dtype}, "
                f"got {tuple(values.shape)} of {values.dtype}"
            )
        if (push.buffers is None) != (self.buffers is None):
            return "the push and the server do not agree on whether the model has buffers"
        if push.buffers is not None and self.buffers is not None:
            expected, got = self.buffers.shape, push.buffers.shape
            return "" if got == expected else f"expected buffers of {expected}, got {got}"
        return ""

    def _judge(
        self,
        push: Push,
        outcome: Outcome,
        commands: list[Command],
        *,
        tau: int | None = None,
        weight: float = 0.0,
        reason: str = "",
    ) -> None:
        self.verdicts[outcome] += 1
        commands.append(
            Verdict(
                worker=push.worker,
                incarnation=push.incarnation,
                sequence=push.sequence,
                outcome=outcome,
                tau=tau,
                weight=weight,
                reason=reason,
            )
        )

    def _step(self, commands: list[Command]) -> None:
        ledger = self.ledger
        entries = ledger.take()
        gradients = [
            Gradient(
                worker=entry.push.worker,
                tau=entry.tau,
                samples=entry.lease.samples,
                values=entry.values,
                snapshot=entry.snapshot,
            )
            for entry in entries
        ]
        self.rule.apply(self.params, self.state, gradients, version=ledger.version)
        if self.buffers is not None:
            assert self._counters is not None
            pushed = [
                (entry.lease.samples, entry.push.buffers)
                for entry in entries
                if entry.push.buffers is not None
            ]
            combined = combine(self._buffer_policy, pushed, self._counters)
            if combined is not None:
                self.buffers = combined
        ledger.version += 1
        ledger.opened_at = ledger.now
        if self.average is not None:
            self.average.update(self.params, version=ledger.version)
        for entry in entries:
            ledger.taus.add(entry.tau)
            self.leases.settle(entry.lease)
            weight = self.rule.weight_of(entry.tau, version=ledger.version - 1)
            self._judge(entry.push, Outcome.APPLIED, commands, tau=entry.tau, weight=weight)
        self._ask_again = True

    def check(self) -> None:
        """Assert the invariants named at the top of this file."""
        ledger = self.ledger
        ledger.check()
        self.leases.check()
        assert self._pushes == self.verdicts.total() + len(ledger.buffer)
        held_leases = {m.lease.number for m in ledger.members.values() if m.lease is not None}
        held_leases |= {entry.lease.number for entry in ledger.buffer}
        assert held_leases == set(self.leases.outstanding)
        assert ledger.version <= self.verdicts[Outcome.APPLIED]
        for worker in ledger.held:
            assert not self.policy.may_pull(worker, ledger), f"worker {worker} is held for nothing"
        if ledger.buffer:
            assert not self.policy.ready(ledger), "a ready buffer was not applied"


def _finite(push: Push) -> bool:
    # One pass and no temporary: a sum is finite only if its terms are; the exact question is
    # asked only when the sum itself overflows.
    if not math.isfinite(push.loss):
        return False
    return math.isfinite(push.values.sum().item()) or bool(torch.isfinite(push.values).all())
