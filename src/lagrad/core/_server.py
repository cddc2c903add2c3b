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

What always holds between two events (asserted by `check`):

- each push has got one verdict or waits in the buffer;
- each step has applied at least one push;
- every sample cut is settled, outstanding or returned to the pool, exactly once;
- the outstanding leases are those of the workers that compute and of the gradients in the buffer;
- a worker that is held is live and has no lease, and the policy does not let it pull, or it is in
  quarantine;
- a buffer that the policy calls ready has been applied;
- the staleness noted of a gradient in the buffer is the versions between its Send and now;
- the ledger's running counts (who takes part, who is awaited, clocks, their floor) are right.

A fault of the other side (an unknown worker, a push of the wrong size or from the future, values
that are not finite) gets a verdict and harms nobody. A fault of the caller (joining twice) raises
and changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ._buffers import BufferPolicy
from ._exchange import exchange
from ._guard import Guard, Norms
from ._holder import Holder
from ._intake import take_in
from ._interfaces import Gradient, Policy, Rule
from ._invariants import check_books, check_rest
from ._judging import verdict
from ._layout import Layout
from ._leases import LeaseBook
from ._ledger import Ledger
from ._membership import hold, join, leave, require_new
from ._messages import (
    Command,
    Event,
    Join,
    Leave,
    Outcome,
    Pull,
    Push,
    Quarantine,
    RollBack,
    Send,
    Shutdown,
    Tick,
    Verdict,
)
from ._spikes import Spikes
from ._total_momentum import TotalMomentum
from ._trained import Snapshot, Trained


class Server:
    """Parameters, a rule that moves them and a policy that says when: events in, commands out.

    params: [P], owned and changed in place by the server from now on. layout: its names.
    leases: the pool of samples. buffers: [B] float64 of the model, or None; `counters`: bool [B],
    which of them are integers. ema: decay of the averaged weights in [0, 1), or None for none.
    release_dropped: whether the lease of a dropped gradient returns to the pool. guard: what is
    done about bad gradients, None for `Guard()`.

    >>> import torch
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

    #: What a checkpoint keeps of it: all that events change.
    CHANGES = (
        "_trained",
        "policy",
        "leases",
        "ledger",
        "verdicts",
        "_norms",
        "_spikes",
        "_snapshots",
        "_pushes",
    )

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
        guard: Guard | None = None,
    ) -> None:
        guard = guard or Guard()
        self._trained = Trained(
            params,
            layout=layout,
            rule=rule,
            buffers=buffers,
            counters=counters,
            buffer_policy=buffer_policy,
            ema=ema,
        )
        self.rule = rule
        self.policy = policy
        self.leases = leases
        self.ledger = Ledger()
        self.verdicts: Counter[Outcome] = Counter()
        self._release_dropped = release_dropped
        self._guard = guard
        self._norms = Norms(guard.longest)
        self._spikes = Spikes(guard.spike)
        self._snapshots: list[Snapshot] = []
        if guard.spike is not None:
            self._snapshots.append(self._trained.snapshot(version=0))
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
    def params(self) -> Tensor:
        """The parameters, [P]; read only. After the next step they may lie elsewhere."""
        return self._trained.params

    @property
    def buffers(self) -> Tensor | None:
        """The model's buffers, [B] float64; read only."""
        return self._trained.buffers

    @property
    def evaluation_params(self) -> Tensor:
        """The averaged weights if the run keeps them, else the parameters; read only."""
        return self._trained.evaluation_params

    @property
    def total_momentum(self) -> TotalMomentum:
        """What is measured of the momentum; read only."""
        return self._trained.total_momentum

    @property
    def takes_lengths(self) -> bool:
        """Whether it asks how long each gradient is, so that who delivers one had better tell."""
        return self._norms.longest is not None or bool(getattr(self.rule, "takes_lengths", False))

    def entrust(self, holder: Holder) -> None:
        """The holder has the parameters as they are now; they are there from now on."""
        self._trained.holder = holder

    def next_tick(self) -> float | None:
        """When the policy wants a Tick, or None."""
        return self.policy.next_deadline(self.ledger) if self.ledger.buffer else None

    @property
    def asleep(self) -> bool:
        """Whether no worker computes and nothing is due, so that only a join can wake it."""
        computes = any(m.lease is not None for m in self.ledger.members.values())
        return not computes and self.next_tick() is None

    def handle(self, event: Event) -> list[Command]:
        """Take one event in; return what is to be done, in order.

        Raises: ValueError for a Join whose incarnation is not above the live one, before anything
        is changed. What else is raised is a bug, of a rule or policy perhaps.
        """
        commands: list[Command] = []
        ledger = self.ledger
        if type(event) is Join:
            require_new(event, ledger)
        ledger.now = max(ledger.now, event.time)
        self._handlers[type(event)](event, commands)
        while ledger.buffer and self.policy.ready(ledger):
            self._step(commands)
        if self._ask_again:
            self._ask_again = False
            for worker in list(ledger.held):
                self._release(worker, commands)
        elif type(event) is Pull and event.worker in ledger.held:
            self._release(event.worker, commands)
        return commands

    @property
    def exchanges(self) -> bool:
        """Whether `exchange` can answer now: each push is a step, and each pull is answered."""
        guard, ledger = self._guard, self.ledger
        return (
            bool(getattr(self.policy, "exchanges", False))
            and guard.longest is None
            and guard.spike is None
            and self.buffers is None
            and not self.rule.needs_snapshots
            and not ledger.buffer
            and not ledger.held
            and ledger.last_sentence <= ledger.version
        )

    def exchange(self, pushes: Sequence[Push], values: Tensor) -> list[tuple[Verdict, Send]]:
        """What `handle` would answer to each push and to its worker's pull right after it.

        Only where the server `exchanges`. pushes: in order of time, of different workers that
        compute on what they were sent; finite, and of the right size. values: theirs, [n, P].
        Each Send has a point of its own.
        """
        answers = exchange(pushes, values, self.ledger, self.leases, self._trained)
        self._pushes += len(pushes)
        self.verdicts[Outcome.APPLIED] += len(pushes)
        return answers

    def _on_tick(self, event: Tick, _: list[Command]) -> None:
        del event
        self._ask_again = True

    def _on_join(self, event: Join, _: list[Command]) -> None:
        join(event, self.ledger, self.leases)
        self._ask_again = True

    def _on_leave(self, event: Leave, commands: list[Command]) -> None:
        given_up = leave(event, self.ledger, self.leases, attempts=self._guard.attempts)
        if given_up is not None:
            commands.append(given_up)
        self._ask_again = True

    def _on_pull(self, event: Pull, commands: list[Command]) -> None:
        reason = hold(event, self.ledger, self.leases)
        if reason:
            who, life = event.worker, event.incarnation
            commands.append(Shutdown(worker=who, incarnation=life, reason=reason))

    def _release(self, worker: int, commands: list[Command]) -> None:
        ledger = self.ledger
        if ledger.in_quarantine(worker) or not self.policy.may_pull(worker, ledger):
            return
        lease = self.leases.issue(ledger.held[worker])
        point = self._trained.point(ledger)
        member = ledger.let_go(worker, lease, point.clone() if self.rule.needs_snapshots else None)
        commands.append(
            Send(
                worker=worker,
                incarnation=member.incarnation,
                version=ledger.version,
                lease=lease,
                point=point,
                buffers=self._trained.buffers,
            )
        )

    def _on_push(self, push: Push, commands: list[Command]) -> None:
        self._pushes += 1
        floor = self.ledger.floor
        judged = take_in(
            push,
            self.ledger,
            self.leases,
            self.policy,
            self._trained,
            norms=self._norms,
            release_dropped=self._release_dropped,
        )
        if judged is not None:
            self._tell(judged, commands)
            if judged.outcome is Outcome.REJECTED:
                self._punish(push, commands)
        if self.ledger.floor != floor:
            self._ask_again = True

    def _punish(self, push: Push, commands: list[Command]) -> None:
        ledger = self.ledger
        member = ledger.members.get(push.worker)
        if member is None or member.incarnation != push.incarnation:
            return
        if not self._guard.convicts(member, ledger):
            return
        member.quarantined_until = ledger.version + self._guard.sentence
        ledger.last_sentence = member.quarantined_until
        ledger.end(member)
        self._ask_again = True
        commands.append(
            Quarantine(
                worker=push.worker,
                incarnation=push.incarnation,
                until=member.quarantined_until,
            )
        )

    def _tell(self, judged: Verdict, commands: list[Command]) -> None:
        self.verdicts[judged.outcome] += 1
        commands.append(judged)

    def _step(self, commands: list[Command]) -> None:
        # `exchange` goes a shorter way to the same memory: what changes here changes there.
        ledger = self.ledger
        entries = ledger.take()
        gradients = [
            Gradient(
                worker=entry.push.worker,
                tau=entry.tau,
                samples=entry.lease.samples,
                values=entry.values,
                snapshot=entry.snapshot,
                length=entry.push.length,
                rates=entry.push.rates,
            )
            for entry in entries
        ]
        weights = self._trained.step(
            gradients, version=ledger.version, buffers=[entry.push.buffers for entry in entries]
        )
        ledger.version += 1
        ledger.opened_at = ledger.now
        self.verdicts[Outcome.APPLIED] += len(entries)
        for entry, weight in zip(entries, weights, strict=True):
            ledger.taus.add(entry.tau)
            self.leases.settle(entry.lease)
            commands.append(verdict(entry.push, Outcome.APPLIED, tau=entry.tau, weight=weight))
        if self._guard.spike is not None:
            for entry in entries:
                if entry.push.loss is not None:
                    self._spikes.add(entry.push.loss, version=entry.push.version)
            self._look_back(commands)
        self._ask_again = True

    def _look_back(self, commands: list[Command]) -> None:
        version = self.ledger.version
        if self._spikes.seen():
            # The younger snapshot may have been taken when the harm was done and not yet seen.
            good = self._snapshots[0]
            self._trained.restore(good, version=version)
            self._snapshots = [good]
            self._spikes.forget(since=version)
            commands.append(RollBack(version=version, to=good.version))
        elif version % self._guard.snapshot_every == 0:
            newest = self._trained.snapshot(version=version)
            self._snapshots = [*self._snapshots[-1:], newest]

    def check(self) -> None:
        """Assert the invariants named at the top of this file."""
        check_books(self.ledger, self.leases, self.verdicts, pushes=self._pushes)
        check_rest(self.ledger, self.policy)
