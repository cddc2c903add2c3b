"""The guard: who is refused, who is sent no work, and how the server goes back."""

import math

import pytest
import torch

import small_tasks
from conversation import SIZE, Conversation, outcomes
from lagrad import audit, replay, train
from lagrad.core import Guard, Outcome, Quarantine, RollBack
from lagrad.policies import Asynchronous, BackupWorkers, KBatchSync, KSync, Synchronous
from lagrad.rules import SGD, Momentum, TorchOptimizer
from lagrad.runtimes import Simulator, Until

NAN = math.nan


def bad(talk, worker, times=1, value=NAN):
    """Push that often what is refused; the last answer's verdicts."""
    verdicts = []
    for _ in range(times):
        verdicts = talk.push(worker, value)
        talk.pull(worker)
    return verdicts


def good(talk, worker, times=1, **fields):
    for _ in range(times):
        talk.push(worker, 1.0, **fields)
        talk.pull(worker)


def listening(talk, act):
    """All commands of the server while something is done."""
    heard, handle = [], talk.server.handle

    def hear(event):
        answer = handle(event)
        heard.extend(answer)
        return answer

    talk.server.handle = hear
    act()
    talk.server.handle = handle
    return heard


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"longest": 1.0}, "longest > 1"),
        ({"longest": math.inf}, "longest > 1"),
        ({"spike": 0.0}, "spike > 0"),
        ({"strikes": 0}, "strikes >= 1"),
        ({"sentence": 1.5}, "sentence >= 1"),
        ({"snapshot_every": 0}, "snapshot_every >= 1"),
        ({"attempts": 0}, "attempts >= 1"),
    ],
)
def test_what_is_out_of_range_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Guard(**arguments)


class TestQuarantine:
    def test_a_repeated_offender_is_sent_no_work_and_then_again(self):
        talk = Conversation(Asynchronous(), guard=Guard(strikes=2, sentence=3))
        talk.join(0, 1)
        bad(talk, 1, 2)
        assert talk.held == {1}
        good(talk, 0, 2)
        assert talk.held == {1}
        good(talk, 0)
        assert talk.held == set()
        assert talk.sent[1].version == 3

    def test_the_server_says_so_once(self):
        talk = Conversation(Asynchronous(), guard=Guard(strikes=1, sentence=5))
        talk.join(0, 1)
        found = listening(talk, lambda: bad(talk, 1))
        quarantines = [command for command in found if isinstance(command, Quarantine)]
        assert quarantines == [Quarantine(worker=1, incarnation=0, until=5)]

    def test_a_good_gradient_between_wipes_the_sheet_clean(self):
        talk = Conversation(Asynchronous(), guard=Guard(strikes=2))
        talk.join(0, 1)
        for _ in range(5):
            bad(talk, 1)
            good(talk, 1)
        assert talk.held == set()

    def test_after_the_sentence_one_more_is_enough(self):
        talk = Conversation(Asynchronous(), guard=Guard(strikes=3, sentence=1))
        talk.join(0, 1)
        bad(talk, 1, 3)
        good(talk, 0)
        assert talk.held == set()
        bad(talk, 1)
        assert talk.held == {1}

    @pytest.mark.parametrize("policy", [Synchronous(), KSync(3), BackupWorkers(1), KBatchSync(2)])
    def test_no_quorum_waits_for_it(self, policy):
        talk = Conversation(policy, guard=Guard(strikes=2, sentence=4))
        talk.join(0, 1, 2)
        bad(talk, 1, 2)
        for _ in range(10):  # some of them are late for a policy that does not wait
            if talk.server.version < 4:
                good(talk, 0)
                good(talk, 2)
        assert talk.server.version >= 4
        assert 1 in talk.sent

    def test_nobody_is_quarantined_alone(self):
        talk = Conversation(Asynchronous(), guard=Guard(strikes=1, sentence=50))
        talk.join(0, 1)
        bad(talk, 0)
        assert talk.held == {0}
        bad(talk, 1, 9)
        assert talk.held == {0}
        assert 1 in talk.sent

    def test_when_the_last_free_worker_dies_the_quarantined_are_let_go(self):
        talk = Conversation(Asynchronous(), guard=Guard(strikes=1, sentence=50))
        talk.join(0, 1)
        bad(talk, 1)
        assert talk.held == {1}
        talk.leave(0)
        assert talk.held == set()
        good(talk, 1)
        assert talk.server.version == 1

    def test_a_new_life_has_a_clean_sheet(self):
        talk = Conversation(Asynchronous(), guard=Guard(strikes=2, sentence=50))
        talk.join(0, 1)
        bad(talk, 1, 2)
        talk.leave(1)
        talk.join(1)
        assert talk.held == set()
        bad(talk, 1)
        assert talk.held == set()

    def test_it_can_be_switched_off(self):
        talk = Conversation(Asynchronous(), guard=Guard(strikes=None))
        talk.join(0, 1)
        bad(talk, 1, 40)
        assert talk.held == set()


class TestLongest:
    def test_what_is_much_longer_than_usual_is_rejected_and_says_so(self):
        talk = Conversation(Asynchronous(), guard=Guard(longest=5.0, strikes=None))
        talk.join(0)
        good(talk, 0, 12)
        (verdict,) = bad(talk, 0, value=6.0)
        assert verdict.outcome is Outcome.REJECTED
        assert verdict.reason == "the gradient's norm 10.4 is beyond 5 times 1.73"
        assert outcomes(talk.push(0, 4.9)) == [(0, "applied")]

    def test_none_is_judged_before_enough_have_come(self):
        talk = Conversation(Asynchronous(), guard=Guard(longest=5.0))
        talk.join(0)
        good(talk, 0, 9)
        assert outcomes(talk.push(0, 1e6)) == [(0, "applied")]

    def test_gradients_that_have_grown_for_good_are_taken_again(self):
        talk = Conversation(Asynchronous(), guard=Guard(longest=5.0, strikes=None))
        talk.join(0)
        good(talk, 0, 20)
        fates = [outcomes(bad(talk, 0, value=100.0))[0][1] for _ in range(25)]
        assert fates[0] == "rejected"
        assert fates[-1] == "applied"


@pytest.mark.parametrize(
    "rule",
    [SGD(lr=0.1), Momentum(lr=0.1), TorchOptimizer("adam", lr=0.1)],
    ids=lambda rule: type(rule).__name__,
)
class TestRollBack:
    def spiking(self, rule, **options):
        """A server on which the loss has jumped after 64 good steps."""
        guard = Guard(spike=10.0, snapshot_every=10)
        talk = Conversation(Asynchronous(), rule=rule, guard=guard, **options)
        talk.join(0, 1)
        history = [talk.server.params.clone()]
        for n in range(64):
            good(talk, 0, loss=1.0 + 0.1 * (n % 5))
            history.append(talk.server.params.clone())
        return talk, history

    def test_the_parameters_go_back_and_the_versions_count_on(self, rule):
        talk, history = self.spiking(rule, ema=0.9)
        commands = []
        while not any(isinstance(command, RollBack) for command in commands):
            sent = talk.sent.get(0)
            before = talk.server.version
            commands = listening(talk, lambda: good(talk, 0, loss=50.0))
            assert talk.server.version == before + 1
            assert sent is not None
        (back,) = [command for command in commands if isinstance(command, RollBack)]
        assert back.version == talk.server.version
        assert back.to in (50, 60)
        assert torch.equal(talk.server.params, history[back.to])
        assert torch.equal(talk.sent[0].point, history[back.to])
        # The rule's state went back as well: the same gradients make the same steps again.
        good(talk, 0, loss=1.0)
        assert torch.equal(talk.server.params, history[back.to + 1])

    def test_a_gradient_of_parameters_that_were_given_up_is_dropped(self, rule):
        talk, _ = self.spiking(rule)
        while talk.server.params[0].item() and talk.server._trained._restored_at == 0:
            good(talk, 0, loss=50.0)
        (verdict,) = talk.push(1, 1.0)
        assert verdict.outcome is Outcome.DROPPED
        assert verdict.reason == "the parameters of version 0 were given up: the loss had jumped"


def test_without_the_option_a_spike_changes_nothing():
    talk = Conversation(Asynchronous())
    talk.join(0)
    good(talk, 0, 60, loss=1.0)
    good(talk, 0, 60, loss=99.0)
    assert talk.x == -120.0
    assert talk.server.params.shape == (SIZE,)


@pytest.mark.parametrize(
    "guard",
    [
        "guard:strikes=2,sentence=5",
        "guard:longest=1.5,strikes=1,sentence=3",
        "guard:spike=0.5,snapshot_every=5",
    ],
)
def test_verdicts_quarantines_and_roll_backs_are_replayed_to_the_bit(tmp_path, guard):
    result = train(
        small_tasks.blobs,
        rule=Momentum(lr=0.3),
        runtime=Simulator(),
        workers=3,
        until=Until(updates=150),
        chaos=["nan:worker=1,p=0.7"],
        guard=guard,
        delays="gamma",
        out=tmp_path / "run",
    )
    assert result.rollbacks or result.workers[1].quarantines
    assert bool(result.rollbacks) == ("spike" in guard)
    found = audit(tmp_path / "run")
    assert found.holds, [promise.violations for promise in found.promises]
    again = replay(tmp_path / "run", task=small_tasks.blobs)
    assert again.identical, again.differences
