"""What the server knows of its workers and of the step it is collecting."""

from collections import Counter
from dataclasses import dataclass, field

from torch import Tensor

from ._leases import Lease
from ._messages import Push
from ._running_median import RunningMedian


@dataclass(slots=True)
class Member:
    """One live worker. It takes part (counts in quorums and clocks) from its first Send on."""

    incarnation: int
    #: Pushes made, counted from the slowest clock at the time it began to take part.
    clock: int = 0
    #: Highest sequence number seen of this incarnation.
    sequence: int = -1
    takes_part: bool = False
    #: Version and time of the last Send; the lease is None once its push has come.
    version: int = 0
    sent_at: float = 0.0
    lease: Lease | None = None
    #: What was sent, for rules that ask for snapshots.
    snapshot: Tensor | None = None
    #: Its gradients in the step's buffer.
    buffered: int = 0
    #: Gradients that the guard rejected since it took one, and the version until which the worker
    #: is sent no work for it.
    strikes: int = 0
    quarantined_until: int = 0


@dataclass(slots=True)
class Buffered:
    """An accepted gradient that waits for its step."""

    push: Push
    tau: int
    lease: Lease
    snapshot: Tensor | None
    values: Tensor


@dataclass
class Ledger:
    """The server's books; policies read them and change nothing.

    version: steps taken. now: time of the last event. opened_at: time of the last step.
    members: the live workers. buffer: gradients of the step being collected.
    held: workers that asked for parameters and wait, in order of asking, and for how many samples.
    """

    version: int = 0
    now: float = 0.0
    opened_at: float = 0.0
    members: dict[int, Member] = field(default_factory=dict)
    buffer: list[Buffered] = field(default_factory=list)
    held: dict[int, int | None] = field(default_factory=dict)
    taus: RunningMedian = field(default_factory=RunningMedian)
    durations: RunningMedian = field(default_factory=RunningMedian)
    #: The version until which somebody is in quarantine, at most.
    last_sentence: int = 0
    #: Slowest clock among the workers that take part.
    floor: int = 0
    #: Workers that take part, and those of them without a gradient in the buffer.
    num_taking_part: int = 0
    num_awaited: int = 0
    #: Gradients in the buffer with tau = 0.
    num_fresh: int = 0
    _clocks: Counter[int] = field(default_factory=Counter)
    #: By worker, its gradient in the buffer that still lies in its memory; there is one at most.
    _borrowed: dict[int, Buffered] = field(default_factory=dict)

    def tau(self, push: Push) -> int:
        """Staleness of a push if it were applied now, in versions."""
        return self.version - push.version

    def free(self) -> list[Member]:
        """The live workers that are not in quarantine."""
        return [m for m in self.members.values() if m.quarantined_until <= self.version]

    def in_quarantine(self, worker: int) -> bool:
        """Whether a worker is sent no work for its bad gradients; not if nobody else is free."""
        return self.members[worker].quarantined_until > self.version and bool(self.free())

    def begin(self, member: Member) -> None:
        """The member takes part from now on; its clock starts at the slowest."""
        member.takes_part = True
        member.clock = self.floor
        self._clocks[member.clock] += 1
        self.num_taking_part += 1
        self.num_awaited += not member.buffered

    def end(self, member: Member) -> None:
        """The member no longer counts."""
        if member.takes_part:
            member.takes_part = False
            self._uncount(member.clock)
            self.num_taking_part -= 1
            self.num_awaited -= not member.buffered

    def let_go(self, worker: int, lease: Lease, snapshot: Tensor | None) -> Member:
        """A held worker is sent the newest version and computes on `lease`."""
        del self.held[worker]
        member = self.members[worker]
        if not member.takes_part:
            self.begin(member)
        if member.buffered:
            # It will write its next gradient where the buffered one lies.
            self.own(worker)
        member.lease = lease
        member.version = self.version
        member.sent_at = self.now
        member.snapshot = snapshot
        return member

    def advance(self, member: Member) -> None:
        """The member has made a push."""
        clock = member.clock
        member.clock = clock + 1
        self._clocks[clock + 1] += 1
        self._uncount(clock)

    def _uncount(self, clock: int) -> None:
        self._clocks[clock] -= 1
        if not self._clocks[clock]:
            del self._clocks[clock]
            if clock == self.floor and self._clocks:
                self.floor = min(self._clocks)

    def put(self, entry: Buffered, member: Member) -> None:
        """An accepted gradient joins the step's buffer."""
        self.buffer.append(entry)
        self._borrowed[entry.push.worker] = entry
        self.num_fresh += not entry.tau
        member.buffered += 1
        if member.buffered == 1 and member.takes_part:
            self.num_awaited -= 1

    def own(self, worker: int) -> None:
        """What the worker has in the buffer is copied, so that it may reuse its memory."""
        entry = self._borrowed.pop(worker, None)
        if entry is not None:
            entry.values = entry.values.clone()

    def take(self) -> list[Buffered]:
        """Empty the buffer for a step, in the order of the leases.

        A gradient is a function of its point and lease, so that a synchronous step depends neither
        on the order of arrival nor on which worker got which lease.
        """
        entries = self.buffer
        self.buffer = []
        self._borrowed.clear()
        self.num_fresh = 0
        if len(entries) > 1:
            entries.sort(key=lambda entry: entry.lease.number)
        for entry in entries:
            member = self.members.get(entry.push.worker)
            if member is not None and member.incarnation == entry.push.incarnation:
                member.buffered -= 1
                if not member.buffered and member.takes_part:
                    self.num_awaited += 1
        return entries

    def check(self) -> None:
        """Assert that the derived counts agree with the members."""
        taking_part = [m for m in self.members.values() if m.takes_part]
        assert self.num_taking_part == len(taking_part)
        assert self.num_awaited == sum(not m.buffered for m in taking_part)
        assert self.num_fresh == sum(not entry.tau for entry in self.buffer)
        for worker, entry in self._borrowed.items():
            assert entry.push.worker == worker
            assert any(entry is each for each in self.buffer)
        assert +self._clocks == Counter(m.clock for m in taking_part)
        if taking_part:
            assert self.floor == min(m.clock for m in taking_part)
        for worker in self.held:
            assert worker in self.members, f"worker {worker} is held but not live"
            assert self.members[worker].lease is None, f"worker {worker} is held with a lease"
        for entry in self.buffer:
            assert entry.tau == self.tau(entry.push)
