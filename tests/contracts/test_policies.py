"""Every policy under random interleavings of everything that can happen to a server."""

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases_policies import POLICIES
from conversation import SIZE, Conversation
from lagrad.core import Push
from lagrad.policies import (
    BackupWorkers,
    BoundedStaleness,
    KAsync,
    KBatchAsync,
    KBatchSync,
    KFresh,
    KSync,
    Point,
    Ringmaster,
)
from lagrad.rules import SGD

NUM_SAMPLES, BATCH = 7, 2

#: (kind, which worker, how much): joins, deaths and ticks are rarer than pulls and pushes.
moves = st.lists(
    st.tuples(
        st.sampled_from(
            ["join", "leave", "again", "tick", "bad", "reborn"] + 4 * ["pull"] + 8 * ["push"]
        ),
        st.integers(0, 5),
        st.floats(0.01, 3.0),
    ),
    min_size=30,  # lists without it are of about five moves, in which little can happen
    max_size=120,
)


class Counting(SGD):
    """Remembers of each step how many gradients made its quorum and how many workers took part."""

    def attach(self, server, point):
        object.__setattr__(self, "server", server)
        object.__setattr__(self, "fresh", point.fresh)
        object.__setattr__(self, "steps", [])

    def apply(self, params, state, gradients, *, version):
        counted = [g for g in gradients if not self.fresh or g.tau == 0]
        self.steps.append((len(counted), self.server.ledger.num_taking_part))
        super().apply(params, state, gradients, version=version)


class Story:
    """Plays moves on a conversation and keeps its own books of what must come of them."""

    def __init__(self, policy):
        self.policy = policy
        self.point = policy if isinstance(policy, Point) else policy.point
        self.rule = Counting(lr=1.0)
        self.talk = Conversation(policy, rule=self.rule, num_samples=NUM_SAMPLES, batch_size=BATCH)
        self.rule.attach(self.talk.server, self.point)
        self.live = []
        self.leases = {}
        self.last = None

    def play(self, moves):
        for kind, number, amount in moves:
            self.talk.time += amount
            getattr(self, kind)(number)
            self.nobody_is_stuck()
            self.steps_are_of_the_right_size()

    def join(self, number):
        free = [worker for worker in range(6) if worker not in self.live]
        if free:
            worker = free[number % len(free)]
            self.live.append(worker)
            self.talk.join(worker, pull=number % 2 == 0)

    def leave(self, number):
        if self.live:
            worker = self.live.pop(number % len(self.live))
            self.talk.leave(worker)

    def reborn(self, number):
        """A worker dies and is back at work before anything else happens."""
        if self.live:
            worker = self.live[number % len(self.live)]
            self.talk.leave(worker)
            self.talk.join(worker)

    def tick(self, number):
        self.talk.tick(self.talk.time)

    def pull(self, number):
        idle = [w for w in self.live if w not in self.talk.sent and w not in self.talk.held]
        if idle:
            self.talk.pull(idle[number % len(idle)])

    def push(self, number):
        busy = [worker for worker in self.live if worker in self.talk.sent]
        if busy:
            worker = busy[number % len(busy)]
            name = (worker, self.talk.lives[worker], self.talk.sequences[worker])
            sent = self.talk.sent[worker]
            self.leases[name] = sent.lease
            self.last = (name, sent)
            self.talk.push(worker)

    def bad(self, number):
        busy = [worker for worker in self.live if worker in self.talk.sent]
        if busy:
            worker = busy[number % len(busy)]
            # A deadline may strike after it.
            verdict, *_ = self.talk.push(worker, torch.zeros(SIZE + 1, dtype=torch.float64))
            assert verdict.outcome == "rejected"
            self.talk.pull(worker)

    def again(self, number):
        if self.last is None or self.last[0][0] not in self.live:
            return
        (worker, incarnation, sequence), sent = self.last
        before, known = self.talk.server.version, len(self.talk.verdicts)
        self.talk.handle(
            Push(
                worker=worker,
                incarnation=incarnation,
                sequence=sequence,
                version=sent.version,
                lease=sent.lease.number,
                values=torch.ones(SIZE, dtype=torch.float64),
                time=self.talk.time,
            )
        )
        verdict = self.talk.verdicts.pop(known)  # its time may let a deadline strike after it
        assert verdict.outcome in ("duplicate", "rejected")
        if not isinstance(self.policy, Point) and getattr(self.policy, "mads", None) is None:
            assert self.talk.server.version == before

    def nobody_is_stuck(self):
        if self.live and all(worker in self.talk.held for worker in self.live):
            assert self.talk.server.next_tick() is not None, "all wait and nothing will wake them"

    def steps_are_of_the_right_size(self):
        """Exactly the quorum, and as soon as it is there; fewer only by a deadline."""
        for gradients, taking_part in self.rule.steps:
            expected = self.quorum(taking_part)
            short = self.point.mads is not None or (self.point.hold and self.point.quorum)
            assert gradients == expected or (short and gradients < expected)
        ledger = self.talk.server.ledger
        counted = [e for e in ledger.buffer if not self.point.fresh or e.tau == 0]
        assert len(counted) < self.quorum(ledger.num_taking_part)

    def quorum(self, taking_part):
        if self.point.quorum is not None:
            return self.point.quorum
        return max(1, taking_part - self.point.backups)

    def finish(self):
        """All that live work on until two more epochs are done, then go."""
        if not self.live:
            self.join(0)
        server = self.talk.server
        goal = server.leases.epochs_settled + 2
        for turn in range(400):
            if server.leases.epochs_settled >= goal:
                break
            self.talk.time += 1.0
            self.pull(turn)
            self.push(turn)
            tick = server.next_tick()
            if tick is not None and not any(worker in self.talk.sent for worker in self.live):
                self.talk.tick(max(tick, self.talk.time))
            self.nobody_is_stuck()
            self.steps_are_of_the_right_size()
        else:
            raise AssertionError("no progress")


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@settings(max_examples=25)
@given(workers=st.integers(0, 5), moves=moves)
def test_every_interleaving_keeps_the_promises(policy, workers, moves):
    story = Story(policy)
    story.play([("join", 0, 0.1)] * workers + moves)
    story.finish()
    verdicts = [v for v in story.talk.verdicts if v.outcome in ("applied", "dropped")]
    names = Counter((v.worker, v.incarnation, v.sequence) for v in verdicts)
    assert set(names.values()) <= {1}, "a push got two verdicts"
    waiting = {
        (entry.push.worker, entry.push.incarnation, entry.push.sequence)
        for entry in story.talk.server.ledger.buffer
    }
    assert set(story.leases) == set(names) | waiting, "a push got no verdict"
    applied = Counter()
    for verdict in verdicts:
        if verdict.outcome == "applied":
            lease = story.leases[verdict.worker, verdict.incarnation, verdict.sequence]
            applied.update((lease.epoch, i) for i in range(lease.start, lease.stop))
            if story.point.max_staleness is not None:
                assert verdict.tau <= story.point.max_staleness
    assert set(applied.values()) == {1}, "a sample was applied twice in an epoch"
    outstanding = {
        (lease.epoch, i)
        for lease in [
            *story.talk.server.leases.outstanding.values(),
            *story.talk.server.leases.returned(),
        ]
        for i in range(lease.start, lease.stop)
    }
    for epoch in range(max(epoch for epoch, _ in applied)):
        for i in range(NUM_SAMPLES):
            assert ((epoch, i) in applied) != ((epoch, i) in outstanding), (epoch, i)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_what_a_policy_may_apply_follows_from_its_point(policy):
    point = policy if isinstance(policy, Point) else policy.point
    fresh_only = {"Synchronous", "BackupWorkers", "KSync", "KBatchSync"}
    assert (point.max_staleness == 0) == (type(policy).__name__ in fresh_only)
    if isinstance(policy, Ringmaster):
        assert point.max_staleness == policy.limit - 1


@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize("bound", [0, 1, 3])
@settings(max_examples=25)
@given(order=st.lists(st.integers(0, 4), min_size=30, max_size=120))
def test_bounded_staleness_bounds_tau(workers, bound, order):
    talk = Conversation(BoundedStaleness(bound))
    talk.join(*range(workers))
    for number in order:
        busy = [worker for worker in range(workers) if worker in talk.sent]
        worker = busy[number % len(busy)]
        talk.push(worker)
        talk.pull(worker)
    assert max(verdict.tau for verdict in talk.verdicts) <= (workers - 1) * (2 * bound + 1)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_versions_have_no_gaps(policy):
    talk = Conversation(policy)
    talk.join(0, 1, 2)
    versions = [0]
    for turn in range(60):
        talk.time += 1.0
        busy = [worker for worker in range(3) if worker in talk.sent]
        if busy:
            talk.push(busy[turn % len(busy)])
        elif (tick := talk.server.next_tick()) is not None:
            talk.tick(max(tick, talk.time))
        versions.append(talk.server.version)
        for worker in range(3):
            if worker not in talk.sent and worker not in talk.held:
                talk.pull(worker)
    steps = [after - before for before, after in itertools.pairwise(versions)]
    assert set(steps) == {0, 1} or set(steps) == {1}


@pytest.mark.parametrize(
    ("policy", "fewest"),
    [
        (BackupWorkers(0), 1),
        (BackupWorkers(2), 3),
        (KSync(3), 3),
        (KAsync(3), 3),
        (KFresh(3), 3),
        (Point(quorum=3, hold=True), 3),
    ],
    ids=repr,
)
def test_a_policy_says_how_many_workers_it_needs(policy, fewest):
    policy.require_workers(fewest)
    with pytest.raises(ValueError, match=rf"Expected .*\b{fewest - 1}\b.*, got \d"):
        policy.require_workers(fewest - 1)


@pytest.mark.parametrize("policy", [KBatchAsync(3), KBatchSync(3)], ids=repr)
def test_one_worker_brings_the_quorum_of_a_policy_that_holds_nobody(policy):
    policy.require_workers(1)
