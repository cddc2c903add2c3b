"""An audit: the promises of a run, found again in its record by another book-keeper.

Nothing of the server is used here: its ledger, leases and verdicts are reckoned anew, from the
lines alone, by the rules that the promises state.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lagrad.core import Outcome

from ._lease_audit import Fate, LeaseAudit
from ._records import (
    SERVER,
    AnyRecord,
    Ended,
    Joined,
    Judged,
    Left,
    Pulled,
    Pushed,
    PutAside,
    Quarantined,
    RolledBack,
    Sent,
    Struck,
    Ticked,
    ToldToEnd,
)


class Promised(StrEnum):
    """What a run promises, in words."""

    VERDICTS = "every push has one verdict"
    ONCE = "every applied gradient was applied once"
    LEASES = "every sample is leased once and settled once"
    VERSIONS = "versions have no gaps, staleness counts them"
    WORKERS = "only live workers that asked are sent work"
    WHOLE = "the record is whole"
    FAULTS = "the faults asked for happened"


#: How many violations of a promise are told.
_TOLD = 5


@dataclass
class Promise:
    """What was checked of one promise, how often, and the first violations of it."""

    name: Promised
    checked: int = 0
    violated: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing spoke against it."""
        return not self.violated

    def check(self, holds: bool, words: str) -> bool:
        """Count one check; `words` say what is wrong if it fails."""
        self.checked += 1
        if not holds:
            self.violated += 1
            if len(self.violations) < _TOLD:
                self.violations.append(words)
        return holds


@dataclass
class _Life:
    """A live worker as the lines show it."""

    incarnation: int
    asked: bool = False
    sequence: int = -1
    version: int = 0
    lease: int | None = None
    quarantined_until: int = 0


_Answer = Sent | Judged | ToldToEnd | Quarantined | PutAside | RolledBack
_Key = tuple[int, int, int]  # worker, incarnation, sequence
#: The verdict in which a fault on the next push of a worker shows.
_SHOWS = {"nan": Outcome.REJECTED, "duplicate": Outcome.DUPLICATE}
#: The faults after which the worker leaves.
_ENDS = ("kill", "preempt")


class Auditor:
    """Reads the records of a run in order; `promises` say what was found.

    release_dropped: whether samples of dropped gradients come back, as the run was set up.
    attempts: so many workers that fail over a lease, and it is set aside; None: never.
    """

    def __init__(self, *, release_dropped: bool = True, attempts: int | None = None) -> None:
        self.promises = {name: Promise(name) for name in Promised}
        self.version = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.struck: Counter[int] = Counter()
        self.ended: Ended | None = None
        self.leases = LeaseAudit(self._lease_broken)
        self._release_dropped = release_dropped
        self._attempts = attempts
        self._failures: Counter[int] = Counter()  # by lease
        self._doomed: int | None = None  # the lease that the answer must set aside
        self._line = 0
        self._clock = -math.inf
        self._lives: dict[int, _Life] = {}
        self._newest: dict[int, int] = {}  # incarnation that has joined
        self._waiting: dict[_Key, Pushed] = {}  # accepted, in the step's buffer
        self._applied: set[_Key] = set()
        self._asked: tuple[Pushed, bool] | None = None  # the push of this event; is it in order?
        self._stranger: int | None = None  # who pulled without being live, until told
        self._stepped = False
        self._unseen: set[tuple[str, int]] = set()  # faults whose effect is to come
        self._dropped: int | None = None  # who must ask next
        self._orphans: set[int] = set()  # who must leave next: their server was killed
        self._due: set[str] = set()  # faults that the answer to this push must show
        self._readers: dict[type, Callable[[Any], None]] = {
            Joined: self._join,
            Left: self._leave,
            Pulled: self._pull,
            Pushed: self._push,
            Ticked: lambda _: None,
            Sent: self._send,
            Judged: self._judge,
            ToldToEnd: self._told_to_end,
            Quarantined: self._quarantine,
            PutAside: self._put_aside,
            RolledBack: self._roll_back,
            Struck: self._strike,
            Ended: self._end,
        }

    def _check(self, promise: Promised, holds: bool, words: str) -> bool:
        return self.promises[promise].check(holds, f"line {self._line}: {words}")

    def _lease_broken(self, words: str) -> None:
        self._check(Promised.LEASES, False, words)

    def read(self, record: AnyRecord) -> None:
        """Take in the next line."""
        self._line += 1
        self._check(Promised.WHOLE, self.ended is None, "something follows the end")
        if not isinstance(record, _Answer):
            self._close_answer()
        if self._dropped is not None:
            asks = isinstance(record, Pulled) and record.worker == self._dropped
            words = f"worker {self._dropped} does not ask after its push was dropped"
            self._check(Promised.FAULTS, asks, words)
            self._dropped = None
        # A server may be killed again before it has told who is gone.
        again = isinstance(record, Struck) and record.worker == SERVER
        if self._orphans and not isinstance(record, _Answer) and not again:
            leaves = isinstance(record, Left) and record.worker in self._orphans
            words = f"workers {sorted(self._orphans)} outlive their server"
            if self._check(Promised.FAULTS, leaves, words):
                assert isinstance(record, Left)
                self._orphans.discard(record.worker)
            else:
                self._orphans.clear()
        if not isinstance(record, _Answer | Ended):
            self._check(Promised.WHOLE, record.time >= self._clock, "the clock goes back")
            self._clock = record.time
        self._readers[type(record)](record)

    def close(self) -> None:
        """The record is over; what is still open is judged."""
        self._close_answer()
        self._check(
            Promised.WHOLE, self.ended is not None, "the record has no end: its run was killed"
        )
        for kind, worker in sorted(self._unseen):
            self._check(Promised.FAULTS, False, f"the {kind} of worker {worker} does not show")
        waiting = {push.lease for push in self._waiting.values()}
        for number, fate in self.leases.fates.items():
            known = fate is not Fate.WAITING or number in waiting
            self._check(Promised.LEASES, known, f"lease {number} waits with no gradient")

    def _close_answer(self) -> None:
        """The lines of an answer are over; whatever the event asked for must have come."""
        if self._asked is not None:
            push, fits = self._asked
            self._asked = None
            if self._check(
                Promised.VERDICTS, fits, f"the push {_key(push)} was to be refused at once"
            ):
                self._waiting[_key(push)] = push
        for kind in sorted(self._due):
            self._check(Promised.FAULTS, False, f"the {kind} on the push before does not show")
        self._due.clear()
        if self._stepped:
            left = list(self._waiting)
            self._check(Promised.VERDICTS, not left, f"the step left {left[:3]} without a verdict")
        self._stepped = False
        if self._doomed is not None:
            self._check(
                Promised.LEASES, False, f"lease {self._doomed} failed so often and is not set aside"
            )
            self._doomed = None
        if self._stranger is not None:
            self._check(
                Promised.WORKERS, False, f"worker {self._stranger} is unknown and was not told"
            )
            self._stranger = None

    def _join(self, record: Joined) -> None:
        before = self._lives.get(record.worker)
        newer = record.incarnation > self._newest.get(record.worker, -1)
        self._check(Promised.WORKERS, newer, f"worker {record.worker} joins as a life it has had")
        if before is not None:
            self._give_back(before)
        self._lives[record.worker] = _Life(record.incarnation)
        self._newest[record.worker] = record.incarnation

    def _leave(self, record: Left) -> None:
        life = self._live(record.worker, record.incarnation)
        known = record.incarnation <= self._newest.get(record.worker, -1)
        self._check(Promised.WORKERS, known, f"worker {record.worker} leaves a life it never had")
        if life is not None:
            self._unseen -= {(kind, record.worker) for kind in _ENDS}
            if record.failed and life.lease is not None:
                self._failures[life.lease] += 1
                if self._failures[life.lease] == self._attempts:
                    self._doomed, life.lease = life.lease, None
            self._give_back(life)
            del self._lives[record.worker]

    def _live(self, worker: int, incarnation: int) -> _Life | None:
        life = self._lives.get(worker)
        return life if life is not None and life.incarnation == incarnation else None

    def _give_back(self, life: _Life) -> None:
        if life.lease is not None:
            self.leases.move(life.lease, Fate.RETURNED)
            life.lease = None

    def _pull(self, record: Pulled) -> None:
        life = self._live(record.worker, record.incarnation)
        if life is None:
            self._stranger = record.worker
            return
        self._give_back(life)
        life.asked = True

    def _told_to_end(self, record: ToldToEnd) -> None:
        told = self._stranger == record.worker
        self._check(Promised.WORKERS, told, f"worker {record.worker} is told to end unasked")
        self._stranger = None

    def _quarantine(self, record: Quarantined) -> None:
        life = self._live(record.worker, record.incarnation)
        words = f"worker {record.worker} is quarantined, but not live or for no time"
        known = life is not None and record.until > self.version
        if self._check(Promised.WORKERS, known, words):
            assert life is not None
            life.quarantined_until = record.until

    def _put_aside(self, record: PutAside) -> None:
        words = f"lease {record.lease} is set aside after {record.failures} failures"
        due = (record.lease, record.failures) == (self._doomed, self._attempts)
        if self._check(Promised.LEASES, due, words):
            self.leases.move(record.lease, Fate.ASIDE)
            self._doomed = None

    def _roll_back(self, record: RolledBack) -> None:
        words = f"went back from version {record.version} to {record.to} at {self.version}"
        back = record.to < record.version == self.version
        self._check(Promised.VERSIONS, back, words)

    def _strike(self, record: Struck) -> None:
        self.struck[record.number] += 1
        if record.worker == SERVER:
            self._orphans = set(self._lives)
        elif record.kind in _SHOWS or record.kind in _ENDS:
            self._unseen.add((record.kind, record.worker))
        if record.kind == "drop":
            life = self._lives.get(record.worker)
            computed = life is not None and life.lease is not None
            words = f"worker {record.worker} had no gradient that could be dropped"
            self._check(Promised.FAULTS, computed, words)
            self._dropped = record.worker

    def _end(self, record: Ended) -> None:
        self.ended = record
        words = f"the run ended at version {record.version}, {self.version} steps were seen"
        self._check(Promised.VERSIONS, record.version == self.version, words)

    def _send(self, record: Sent) -> None:
        who = f"worker {record.worker}"
        life = self._live(record.worker, record.incarnation)
        self._check(
            Promised.VERSIONS, record.version == self.version, f"{who} is sent another version"
        )
        if not self._check(Promised.WORKERS, life is not None, f"{who} is sent work but not live"):
            return
        assert life is not None
        self._check(Promised.WORKERS, life.asked, f"{who} is sent work without asking")
        if life.quarantined_until > self.version:
            others = [other.quarantined_until <= self.version for other in self._lives.values()]
            self._check(Promised.WORKERS, not any(others), f"{who} is sent work in quarantine")
        self.promises[Promised.LEASES].checked += 1
        self.leases.sent(record)
        life.asked, life.lease, life.version = False, record.lease, record.version

    def _push(self, record: Pushed) -> None:
        life = self._live(record.worker, record.incarnation)
        fits = (
            life is not None
            and record.sequence > life.sequence
            and (record.lease, record.version) == (life.lease, life.version)
        )
        self._asked = (record, fits)
        self._due = {kind for kind in _SHOWS if (kind, record.worker) in self._unseen}
        self._unseen -= {(kind, record.worker) for kind in self._due}
        if fits:
            assert life is not None
            life.sequence, life.lease = record.sequence, None
            self.leases.move(record.lease, Fate.WAITING)

    def _judge(self, record: Judged) -> None:
        self.outcomes[record.outcome] += 1
        key = (record.worker, record.incarnation, record.sequence)
        asked = self._asked if self._asked is not None and _key(self._asked[0]) == key else None
        if record.outcome is Outcome.APPLIED:
            self._apply(record, key, asked)
            return
        if not self._check(
            Promised.VERDICTS, asked is not None, f"a verdict on {key}, which is not asked"
        ):
            return
        assert asked is not None
        push, fits = asked
        self._asked = None
        in_order = fits or record.outcome is not Outcome.DROPPED
        self._check(Promised.VERDICTS, in_order, f"the push {key} was to be refused, not dropped")
        if fits:
            came_before = record.outcome is Outcome.DUPLICATE
            self._check(Promised.VERDICTS, not came_before, f"the push {key} has not come before")
        self._due -= {kind for kind, outcome in _SHOWS.items() if outcome is record.outcome}
        if record.outcome is Outcome.DROPPED:
            tau = self.version - push.version
            self._check(
                Promised.VERSIONS, record.tau == tau, f"{key} is {tau} late, not {record.tau}"
            )
            back = Fate.RETURNED if self._release_dropped else Fate.SETTLED
            self.leases.move(push.lease, back)
        elif fits:
            self.leases.move(push.lease, Fate.REFUSED)

    def _apply(self, record: Judged, key: _Key, asked: tuple[Pushed, bool] | None) -> None:
        if not self._check(Promised.ONCE, key not in self._applied, f"{key} is applied again"):
            return
        if asked is not None and asked[1]:
            self._waiting[key], self._asked = asked[0], None
        push = self._waiting.pop(key, None)
        if not self._check(
            Promised.VERDICTS, push is not None, f"{key} is applied but was not accepted"
        ):
            return
        assert push is not None
        # All verdicts of one step stand together: the first of them opens the next version.
        if not self._stepped:
            self._stepped = True
            self.version += 1
        tau = self.version - 1 - push.version
        self._check(Promised.VERSIONS, record.tau == tau, f"{key} is {tau} late, not {record.tau}")
        settled = self.leases.fates.get(push.lease) is Fate.SETTLED
        self._check(Promised.ONCE, not settled, f"lease {push.lease} is applied again")
        self._applied.add(key)
        self.leases.move(push.lease, Fate.SETTLED)


def _key(push: Pushed) -> _Key:
    return push.worker, push.incarnation, push.sequence
