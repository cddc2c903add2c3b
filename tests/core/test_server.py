"""Conversations with the server."""

import itertools
import math
from dataclasses import dataclass, field

import pytest
import torch

from conversation import LAYOUT, SIZE, Conversation, outcomes
from lagrad.core import (
    WINDOW,
    BufferPolicy,
    Gradient,
    Join,
    LeaseBook,
    Leave,
    Pull,
    Push,
    Server,
    Shutdown,
    Verdict,
)
from lagrad.policies import (
    Asynchronous,
    BackupWorkers,
    BoundedStaleness,
    Deadline,
    KAsync,
    KBatchAsync,
    KBatchSync,
    KFresh,
    KSync,
    Ringmaster,
    Synchronous,
)
from lagrad.rules import SGD
from lagrad.weights import Inverse


class TestVerdicts:
    def test_applied_with_its_staleness_and_weight(self):
        talk = Conversation(Asynchronous(), rule=SGD(lr=1.0, weight=Inverse()))
        talk.join(0, 1)
        (first,) = talk.push(0, 2.0)
        (second,) = talk.push(1, 2.0)
        assert (first.outcome, first.tau, first.weight) == ("applied", 0, 1.0)
        assert (second.outcome, second.tau, second.weight) == ("applied", 1, 0.5)
        assert talk.x == -3.0
        assert talk.server.version == 2

    def test_a_push_that_comes_twice_is_a_duplicate(self):
        talk = Conversation(Asynchronous())
        (sent,) = talk.join(0)
        talk.push(0)
        talk.pull(0)
        again = Push(
            worker=0,
            sequence=0,
            version=sent.version,
            lease=sent.lease.number,
            values=talk.server.params,
        )
        (verdict,) = talk.handle(again)
        assert verdict.outcome == "duplicate"
        assert talk.server.version == 1
        assert talk.push(0)[0].outcome == "applied", "the worker's own lease is untouched"

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"worker": 7}, "not a member"),
            ({"incarnation": 5}, "live"),
            ({"version": 9}, "cannot come from the future"),
            ({"lease": 99}, "does not hold lease 99"),
            ({"values": torch.zeros(SIZE + 1, dtype=torch.float64)}, "expected 3 values"),
            ({"values": torch.zeros(SIZE, dtype=torch.float32)}, "torch.float32"),
            ({"buffers": torch.zeros(1, dtype=torch.float64)}, "buffers"),
            ({"values": torch.tensor([1.0, math.nan, 1.0], dtype=torch.float64)}, "not finite"),
            ({"values": torch.tensor([math.inf, -math.inf, 0.0]).double()}, "not finite"),
            ({"loss": math.nan}, "the loss is nan"),
        ],
    )
    def test_a_bad_push_is_rejected_and_harms_nobody(self, changes, words):
        talk = Conversation(Asynchronous())
        talk.join(0, 1)
        (verdict,) = talk.push(0, **changes)
        assert verdict.outcome == "rejected"
        assert words in verdict.reason
        assert (talk.x, talk.server.version) == (0.0, 0)
        assert talk.push(1)[0].outcome == "applied"
        assert talk.pull(0) is not None, "it may go on"

    @pytest.mark.parametrize("spoilt", [math.nan, math.inf])
    def test_spoilt_buffers_are_rejected(self, spoilt):
        talk = Conversation(Asynchronous(), buffers=torch.tensor([1.0, -math.inf]).double())
        talk.join(0)
        masked = torch.tensor([2.0, -math.inf]).double()
        assert talk.push(0, buffers=masked)[0].outcome == "applied", "a mask is meant so"
        talk.pull(0)
        (verdict,) = talk.push(0, buffers=torch.tensor([spoilt, -math.inf]).double())
        assert verdict.outcome == "rejected"
        assert "buffers are no longer finite" in verdict.reason
        assert torch.equal(talk.server.buffers, masked)

    @pytest.mark.parametrize(
        "unfit", [torch.ones(3, dtype=torch.float64), torch.ones(2, dtype=torch.float32)], ids=str
    )
    def test_buffers_of_another_size_or_dtype_are_rejected(self, unfit):
        talk = Conversation(Asynchronous(), buffers=torch.zeros(2, dtype=torch.float64))
        talk.join(0)
        (verdict,) = talk.push(0, buffers=unfit)
        assert verdict.outcome == "rejected"
        assert "expected 2 buffers of torch.float64" in verdict.reason
        assert torch.equal(talk.server.buffers, torch.zeros(2, dtype=torch.float64))

    def test_a_version_that_was_not_sent_is_rejected(self):
        talk = Conversation(Asynchronous())
        talk.join(0, 1)
        talk.push(1)
        talk.pull(1)
        (verdict,) = talk.push(1, version=0)
        assert verdict.outcome == "rejected"
        assert "was sent version 1" in verdict.reason

    def test_finite_values_whose_sum_overflows_are_taken(self):
        talk = Conversation(Asynchronous(), rule=SGD(lr=0.0))
        talk.join(0)
        (verdict,) = talk.push(0, torch.full((SIZE,), 1.7e308, dtype=torch.float64))
        assert verdict.outcome == "applied"


class TestMembership:
    def test_a_stranger_is_told_to_end(self):
        talk = Conversation(Asynchronous())
        (command,) = talk.server.handle(Pull(worker=4))
        assert isinstance(command, Shutdown)
        assert "join first" in command.reason

    def test_joining_twice_raises_and_changes_nothing(self):
        talk = Conversation(Asynchronous())
        talk.join(0)
        before = (talk.server.ledger.now, dict(talk.server.ledger.members))
        with pytest.raises(ValueError, match="higher one"):
            talk.server.handle(Join(worker=0, time=9.0))
        assert (talk.server.ledger.now, dict(talk.server.ledger.members)) == before
        assert talk.push(0)[0].outcome == "applied"

    def test_joining_anew_with_an_old_incarnation_changes_nothing_either(self):
        talk = Conversation(Asynchronous())
        talk.server.handle(Join(worker=0, incarnation=3))
        with pytest.raises(ValueError, match="incarnation 3 is live"):
            talk.server.handle(Join(worker=0, incarnation=2, time=9.0))
        assert talk.server.ledger.now == 0.0
        assert talk.server.ledger.members[0].incarnation == 3
        talk.server.check()

    def test_an_error_of_the_policy_is_no_fault_of_the_caller(self):
        class Refusing(Asynchronous):
            def accepts(self, push, ledger):
                raise ValueError("a bug")

        talk = Conversation(Refusing())
        talk.join(0)
        talk.time = 9.0
        with pytest.raises(ValueError, match="a bug"):
            talk.push(0)
        # The push is in the books, and so is its time: it is not undone by half.
        assert talk.server.ledger.members[0].sequence == 0
        assert talk.server.ledger.now == 9.0

    def test_a_lost_lease_is_handed_out_first(self):
        talk = Conversation(Asynchronous(), num_samples=10, batch_size=2)
        talk.join(0, 1)
        lost = talk.sent[0].lease
        talk.leave(0)
        talk.push(1)
        assert talk.pull(1).lease == lost

    def test_a_death_is_noticed_once(self):
        talk = Conversation(Asynchronous(), num_samples=10)
        talk.join(0)
        talk.leave(0)
        talk.join(0)
        talk.handle(Leave(worker=0, incarnation=0))
        assert talk.push(0)[0].outcome == "applied"

    def test_a_pull_without_a_push_gives_the_lease_back(self):
        talk = Conversation(Asynchronous(), num_samples=10)
        talk.join(0)
        first = talk.sent[0].lease
        assert talk.pull(0).lease == first

    def test_the_gradient_of_the_dead_survives_its_owner(self):
        talk = Conversation(KBatchAsync(2))
        talk.join(0, 1)
        memory = torch.full((SIZE,), 4.0, dtype=torch.float64)
        talk.push(0, memory)
        talk.leave(0)
        memory.fill_(1e9)
        talk.push(1, 2.0)
        assert talk.x == -3.0

    def test_a_buffered_gradient_survives_its_owners_next_job(self):
        talk = Conversation(KBatchAsync(2))
        talk.join(0)
        memory = torch.full((SIZE,), 4.0, dtype=torch.float64)
        talk.push(0, memory)
        talk.pull(0)
        memory.fill_(2.0)
        talk.push(0, memory)
        assert talk.x == -3.0

    def test_a_joiner_that_never_pulls_blocks_nobody(self):
        talk = Conversation(Synchronous())
        talk.join(0, 1)
        talk.join(2, pull=False)
        talk.push(0)
        assert outcomes(talk.push(1)) == [(0, "applied"), (1, "applied")]

    def test_a_joiners_clock_starts_at_the_slowest(self):
        talk = Conversation(BoundedStaleness(1))
        talk.join(0)
        for _ in range(5):
            talk.push(0)
            talk.pull(0)
        talk.join(1)
        assert talk.server.ledger.members[1].clock == 5


class TestPolicies:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    def test_synchronous_does_not_depend_on_the_order_of_arrival(self, order):
        torch.manual_seed(0)
        gradients = torch.randn(5, 4, SIZE, dtype=torch.float64) * 1e3
        results = []
        for arrival in (range(4), order):
            talk = Conversation(Synchronous(), num_samples=18, batch_size=1)
            talk.join(*range(4))
            for step in range(5):
                by_lease = sorted(range(4), key=lambda w: talk.sent[w].lease.number)
                place = {worker: by_lease.index(worker) for worker in range(4)}
                for worker in arrival:
                    talk.push(worker, gradients[step, place[worker]].clone())
                    talk.pull(worker)
            results.append(talk.server.params)
        assert torch.equal(*results)

    def test_backup_workers_average_exactly_the_first_fresh_ones(self):
        talk = Conversation(BackupWorkers(1), num_samples=100)
        talk.join(0, 1, 2, 3)
        late = talk.sent[3].lease
        assert talk.push(2, 3.0) == []
        assert talk.push(0, 6.0) == []
        assert outcomes(talk.push(1, 9.0)) == [(0, "applied"), (1, "applied"), (2, "applied")]
        assert talk.x == -6.0, "the mean of three, not of four"
        (verdict,) = talk.push(3, 1e6)
        assert (verdict.outcome, verdict.tau) == ("dropped", 1)
        assert "staleness 1 exceeds 0" in verdict.reason
        assert talk.x == -6.0
        assert talk.pull(3).lease == late, "its samples come back"

    def test_dropped_samples_are_spent_if_asked(self):
        talk = Conversation(BackupWorkers(1), num_samples=100, release_dropped=False)
        talk.join(0, 1)
        late = talk.sent[1].lease
        talk.push(0)
        talk.push(1)
        assert talk.pull(1).lease != late

    @pytest.mark.parametrize(
        "policy", [Synchronous(), BackupWorkers(1), KSync(3), KAsync(3), KFresh(3)]
    )
    def test_the_death_of_the_last_awaited_worker_makes_the_step(self, policy):
        talk = Conversation(policy)
        talk.join(0, 1, 2)
        talk.push(0)
        for dead in (1, 2):
            talk.leave(dead)
        assert talk.server.version >= 1
        assert talk.pull(0) is not None

    def test_workers_wait_for_their_step_and_leave_it_together(self):
        talk = Conversation(KAsync(2))
        talk.join(0, 1, 2)
        talk.push(0)
        talk.pull(0)
        assert talk.held == {0}
        talk.push(2)
        assert talk.held == set()
        assert talk.sent[0].version == 1

    def test_late_gradients_join_the_next_step_of_fresh_ones(self):
        talk = Conversation(KFresh(2), rule=SGD(lr=1.0))
        talk.join(0, 1, 2)
        talk.push(0, 6.0)
        (verdict, _) = talk.push(1, 12.0)
        assert (verdict.outcome, talk.x) == ("applied", -9.0)
        talk.pull(0)
        talk.pull(1)
        assert talk.push(2, 3.0) == [], "late, so it waits and is not counted"
        assert talk.push(0, 6.0) == []
        taus = [verdict.tau for verdict in talk.push(1, 12.0)]
        assert taus == [1, 0, 0]
        assert talk.x == -9.0 - 7.0

    def test_rennala_takes_several_from_one_and_drops_the_stale(self):
        talk = Conversation(KBatchSync(3))
        talk.join(0, 1)
        for _ in range(3):
            talk.push(0)
            talk.pull(0)
        assert talk.server.version == 1
        assert talk.push(1)[0].outcome == "dropped"

    def test_ringmaster_drops_from_its_limit_on(self):
        talk = Conversation(Ringmaster(2))
        talk.join(0, 1)
        for _ in range(2):
            talk.push(0)
            talk.pull(0)
        (verdict,) = talk.push(1)
        assert (verdict.outcome, verdict.tau) == ("dropped", 2)

    def test_bounded_staleness_holds_the_fast_until_the_slow_has_pushed(self):
        talk = Conversation(BoundedStaleness(1))
        talk.join(0, 1)
        for _ in range(2):
            talk.push(0)
            talk.pull(0)
        assert talk.held == {0}
        talk.push(1)
        assert talk.held == set()

    def test_the_deadline_is_median_plus_deviations_and_strikes_by_a_tick(self):
        talk = Conversation(Deadline(2.0))
        talk.join(0, 1, 2)
        for now, worker in ((1.0, 0), (2.0, 1), (5.0, 2)):
            talk.time = now
            talk.push(worker)
            talk.pull(worker)
        assert talk.server.version == 1
        # Job times 1, 2, 5: median 2, deviations 1, 0, 3, so that MAD is 1.
        assert talk.server.next_tick() is None, "nothing to apply yet"
        talk.time = 6.0
        talk.push(0)
        # Job times 1, 2, 5, 1: median 1.5, deviations .5, .5, 3.5, .5.
        assert talk.server.next_tick() == pytest.approx(5.0 + 1.5 + 2 * 0.5)
        assert talk.tick(7.4) == []
        assert outcomes(talk.tick(7.5)) == [(0, "applied")]

    def test_a_pull_that_passes_the_deadline_is_sent_what_the_step_made(self):
        talk = Conversation(Deadline(0.0))
        talk.join(0, 1)
        talk.time = 1.0
        talk.push(0)
        talk.pull(0)
        talk.push(1)
        talk.pull(1)
        talk.push(0)
        talk.time = 50.0
        assert talk.pull(0).version == 2


@dataclass
class Remembering:
    """A rule that asks for snapshots and keeps what it was given."""

    needs_snapshots: bool = True
    looks_ahead: bool = False
    seen: list[Gradient] = field(default_factory=list)

    def init(self, params, layout):
        return None

    def apply(self, params, state, gradients, *, version):
        self.seen += gradients
        params.add_(1.0)

    def weight_of(self, tau, *, version, state):
        return 1.0

    def point(self, params, state, *, version, expected_tau):
        return params


class TestSnapshots:
    def test_each_gradient_comes_with_what_its_worker_was_sent(self):
        rule = Remembering()
        talk = Conversation(Asynchronous(), rule=rule)
        talk.join(0, 1)
        talk.push(0)
        talk.pull(0)
        talk.push(0)
        talk.push(1)
        assert [(g.worker, g.snapshot[0].item()) for g in rule.seen] == [
            (0, 0.0),
            (0, 1.0),
            (1, 0.0),
        ]

    def test_none_are_kept_for_rules_that_do_not_ask(self):
        rule = Remembering(needs_snapshots=False)
        talk = Conversation(Asynchronous(), rule=rule)
        talk.join(0)
        talk.push(0)
        assert rule.seen[0].snapshot is None


class TestWhatGoesWithTheParameters:
    def test_means_count_samples(self):
        talk = Conversation(Synchronous(), num_samples=5, batch_size=4)
        talk.join(0, 1)
        assert [talk.sent[w].lease.samples for w in (0, 1)] == [4, 1]
        talk.push(0, 1.0)
        talk.push(1, 6.0)
        assert talk.x == -2.0

    def test_the_average_follows_its_formula(self):
        talk = Conversation(Asynchronous(), ema=0.5)
        talk.join(0)
        average = 0.0
        for step in range(1, 30):
            talk.push(0)
            talk.pull(0)
            average += (1 - min(0.5, step / (step + 9))) * (talk.x - average)
            assert talk.server.evaluation_params[0].item() == pytest.approx(average)

    @pytest.mark.parametrize(
        ("policy", "expected"),
        [
            (BufferPolicy.MEAN, [3.0, 4.0]),
            (BufferPolicy.LATEST, [9.0, 5.0]),
            (BufferPolicy.RECALIBRATE, [0.0, 0.0]),
        ],
    )
    def test_buffers(self, policy, expected):
        talk = Conversation(
            Synchronous(),
            num_samples=4,
            batch_size=3,
            buffers=torch.zeros(2, dtype=torch.float64),
            counters=torch.tensor([False, True]),
            buffer_policy=policy,
        )
        talk.join(0, 1)
        talk.push(1, buffers=torch.tensor([9.0, 5.0], dtype=torch.float64))
        talk.push(0, buffers=torch.tensor([1.0, 4.0], dtype=torch.float64))
        assert talk.server.buffers.tolist() == expected
        assert talk.pull(0).buffers.tolist() == expected

    def test_what_was_sent_is_not_changed_by_a_copying_runtime_nor_stale(self):
        talk = Conversation(Asynchronous())
        (sent,) = talk.join(0)
        assert sent.point is talk.server.params, "no copy is made where none is needed"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"params": torch.zeros(2)}, "Expected params of 3 elements"),
        ({"params": torch.zeros(SIZE)}, "torch.float32"),
        ({"ema": 1.0}, r"ema in \[0, 1\)"),
    ],
)
def test_a_server_is_refused_at_the_door(options, words):
    usual = {"params": torch.zeros(SIZE, dtype=torch.float64)}
    with pytest.raises(ValueError, match=words):
        Server(
            **{**usual, **options},
            layout=LAYOUT,
            rule=SGD(),
            policy=Asynchronous(),
            leases=LeaseBook(None),
        )


def test_verdicts_say_which_push_they_are_for():
    talk = Conversation(Asynchronous())
    talk.join(3)
    (verdict,) = talk.push(3)
    assert isinstance(verdict, Verdict)
    assert (verdict.worker, verdict.incarnation, verdict.sequence) == (3, 0, 0)


def test_backup_workers_never_average_one_too_many_after_a_death_and_a_return():
    talk = Conversation(BackupWorkers(1))
    talk.join(0, 1, 2, 3)
    talk.push(0)
    talk.leave(0)
    talk.join(0)
    assert talk.push(1) == []
    # Three of four: the gradient of worker 0's first life and those of 1 and 2.
    assert outcomes(talk.push(2)) == [(0, "applied"), (1, "applied"), (2, "applied")]
    assert outcomes(talk.push(3)) == [(3, "dropped")]
    assert outcomes(talk.push(0)) == [(0, "dropped")]


def test_the_deadline_strikes_also_with_more_workers_than_the_median_remembers():
    workers = range(WINDOW + 10)
    talk = Conversation(Deadline(1.0))
    talk.join(*workers)
    talk.time = 1.0
    for worker in workers:
        talk.push(worker)
        talk.pull(worker)
    # The step was due as soon as the window was full of jobs of length 1.
    assert talk.server.version == 1
    assert talk.server.next_tick() == 2.0
    assert outcomes(talk.tick(2.0)) == [(worker, "applied") for worker in workers[WINDOW:]]


def test_a_server_that_holds_everyone_is_asleep():
    talk = Conversation(BoundedStaleness(0))
    talk.join(0, 1)
    assert not talk.server.asleep
    talk.push(0)
    talk.pull(0)
    assert not talk.server.asleep, "worker 1 computes"
    talk.leave(1)
    assert talk.held == set()
    talk.leave(0)
    assert talk.server.asleep, "nobody is there"


@dataclass(frozen=True)
class Ahead(SGD):
    """Sends a new vector each time it is asked."""

    def point(self, params, state, *, version, expected_tau):
        return params + 1.0


def test_workers_released_at_one_version_are_sent_one_vector_that_stays():
    talk = Conversation(KBatchAsync(2), rule=Ahead(lr=1.0))
    first, second = talk.join(0, 1)
    assert first.point is second.point
    talk.push(0)
    assert talk.pull(0).point is first.point, "no step has been taken"
    talk.push(1)
    third = talk.pull(1)
    assert third.point[0] == 0.0
    assert first.point[0] == 1.0, "what was sent is left alone"
