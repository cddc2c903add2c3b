"""A run that was interrupted and goes on is the run that was not: to the bit in the simulator."""

import contextlib
import json
import os
import signal
import tempfile
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import small_tasks
from cases_policies import POLICIES
from cases_rules import RULES
from crash import crash_at, one_checkpoint_for_each_event
from lagrad import Until, audit, delays, policies, replay, resume, rules, train
from lagrad.core import BufferPolicy, Guard
from lagrad.runtimes import Durability, Keeping, Local, Run, Setup, Simulator, Stopped
from lagrad.trace import Joined, read_trace

ALWAYS = Keeping(every=0.0)
EVERY_STEP = Keeping(Durability.EVERY_STEP, every=1e6)


EXTRAS = [
    {},
    {"ema": 0.9, "task": small_tasks.with_batch_norm},
    {"guard": Guard(longest=3.0, spike=2.0, snapshot_every=5, strikes=1, sentence=9)},
    {"chaos": ("drop:p=0.1", "duplicate:p=0.1", "nan:worker=1,p=0.2")},
    {"chaos": ("kill:worker=1,at=3s", "pause:worker=2,at=2s,for=3s")},
    {"buffers": BufferPolicy.LATEST, "task": small_tasks.with_batch_norm},
    {"release_dropped": False, "task": small_tasks.without_scores},
]
#: Where bringing a file to disk is cheap.
QUICK = "/dev/shm" if os.path.isdir("/dev/shm") else None


def simulate(out: Path, *, updates=40, task=small_tasks.blobs, together=1, **options):
    options = {"rule": rules.default_rule(3, lr=0.1), "workers": 4, "delays": delays.Gamma()} | (
        options
    )
    return train(
        task,
        runtime=Simulator(restarts=1, together=together),
        until=Until(updates=updates),
        out=out,
        **options,
    )


def assert_same(one, other):
    """All but the folder."""
    assert one.digest == other.digest
    assert one.trace_sha256 == other.trace_sha256
    assert torch.equal(one.params, other.params)
    for name, values in one.state_dict.items():
        assert torch.equal(values, other.state_dict[name])
    assert {**one.summary(), "out": ""} == {**other.summary(), "out": ""}
    texts = [(run.out / "metrics.jsonl").read_text() for run in (one, other)]
    assert texts[0] == texts[1]
    assert one.evaluations == other.evaluations


def interrupted_and_not(events: int, **options):
    with tempfile.TemporaryDirectory(dir=QUICK) as folder:
        task = options.get("task", small_tasks.blobs)
        whole = simulate(Path(folder) / "whole", **options)
        with crash_at(events):
            simulate(Path(folder) / "cut", keeping=ALWAYS, **options)
        given = {"task": task, "policy": options.get("policy"), "rule": options.get("rule")}
        assert_same(whole, resume(Path(folder) / "cut", **given))


def any_run(*, max_examples):
    @given(
        rule=st.sampled_from(RULES),
        policy=st.sampled_from(POLICIES),
        events=st.integers(1, 90),
        seed=st.integers(0, 3),
        extra=st.sampled_from(EXTRAS),
    )
    @settings(max_examples=max_examples, deadline=None, suppress_health_check=list(HealthCheck))
    def check(rule, policy, events, seed, extra):
        try:
            Setup(
                task=small_tasks.blobs,
                rule=rule,
                policy=policy,
                workers=4,
                until=Until(updates=1),
            )
        except ValueError:  # a robust mean of more gradients than the policy's steps have
            assume(False)
        interrupted_and_not(events, rule=rule, policy=policy, seed=seed, updates=20, **extra)

    check()


class TestTheTheorem:
    def test_interrupted_at_any_checkpoint(self):
        any_run(max_examples=25)

    @pytest.mark.chaos
    @pytest.mark.timeout(7200)
    def test_interrupted_at_any_checkpoint_often(self):
        any_run(max_examples=1000)

    @pytest.mark.parametrize("events", [3, 31, 77])
    def test_gradients_that_are_computed_together(self, events):
        interrupted_and_not(events, together=3, task=small_tasks.blobs)

    @pytest.mark.parametrize("updates", [1, 7, 20, 33])
    def test_a_run_that_has_ended_goes_on_to_another_budget(self, tmp_path, updates):
        chaos = ("duplicate:p=0.3", "drop:p=0.2")
        whole = simulate(tmp_path / "whole", chaos=chaos)
        simulate(tmp_path / "two", updates=updates, chaos=chaos)
        again = resume(tmp_path / "two", until=Until(updates=40), task=small_tasks.blobs)
        assert_same(whole, again)

    def test_the_signal_that_interrupts_a_run_costs_nothing(self, tmp_path):
        whole = simulate(tmp_path / "whole")
        handle = Run.handle

        def struck(run, event):
            if run.server.version == 20 and run.stopped is None:
                os.kill(os.getpid(), signal.SIGTERM)
            return handle(run, event)

        with patch.object(Run, "handle", struck):
            cut = simulate(tmp_path / "cut")
        assert (cut.stopped, cut.updates) == (Stopped.INTERRUPTED, 20)
        assert_same(whole, resume(tmp_path / "cut", task=small_tasks.blobs))

    def test_a_run_that_goes_on_often(self, tmp_path):
        whole = simulate(tmp_path / "whole")
        simulate(tmp_path / "run", updates=5)
        for updates in (6, 11, 30, 40):
            again = resume(tmp_path / "run", until=Until(updates=updates), task=small_tasks.blobs)
        assert_same(whole, again)
        assert audit(tmp_path / "run").holds
        assert replay(tmp_path / "run", task=small_tasks.blobs).identical


def power(ratio, age):
    return ratio**age


class Base:
    ratio = 0.8

    def power(self, age):
        return power(self.ratio, age)


@pytest.mark.parametrize(
    "kernel",
    [partial(power, 0.8), Base().power, lambda age: 0.8**age],
    ids=["partial", "method", "function"],
)
def test_kernels_of_which_the_spike_guard_keeps_copies(kernel):
    rule = rules.DynamicMomentum(lr=0.1, kernel=kernel, horizon=4)
    guard = Guard(spike=0.01, snapshot_every=5)
    interrupted_and_not(120, rule=rule, guard=guard, updates=60)


class Memory:
    def __init__(self):
        self.asked = 0

    def require_workers(self, workers):
        pass

    def accepts(self, push, ledger):
        return ""

    def ready(self, ledger):
        self.asked += 1
        return self.asked % 3 == 0

    def may_pull(self, worker, ledger):
        return True

    def next_deadline(self, ledger):
        return None


@pytest.mark.parametrize("events", [20, 55, 90])
def test_a_policy_of_ones_own_remembers(tmp_path, events):
    whole = simulate(tmp_path / "whole", policy=Memory())
    with crash_at(events):
        simulate(tmp_path / "cut", policy=Memory(), keeping=ALWAYS)
    assert_same(whole, resume(tmp_path / "cut", policy=Memory(), task=small_tasks.blobs))


class Forgetful(Memory):
    def __init__(self):
        super().__init__()
        self.lines = iter([1, 2])


def test_what_could_not_be_kept_is_refused_before_the_run_starts(tmp_path):
    with pytest.raises(TypeError, match=r"list_iterator at policy\.lines, which cannot be kept"):
        simulate(tmp_path / "run", policy=Forgetful())
    assert not (tmp_path / "run").exists()
    kept = Keeping(Durability.NONE)
    assert simulate(tmp_path / "run", policy=Forgetful(), keeping=kept).updates == 40


class TestRefusals:
    @pytest.fixture
    def run(self, tmp_path):
        with crash_at(70), one_checkpoint_for_each_event():
            simulate(tmp_path / "run", keeping=ALWAYS)
        simulate(tmp_path / "whole")
        return tmp_path / "run"

    def numbers(self, run):
        return sorted(int(path.stem) for path in (run / "checkpoints").glob("0*.json"))

    def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_used(self, run):
        whole = resume(run.parent / "whole", task=small_tasks.blobs)
        newest = run / "checkpoints" / f"{self.numbers(run)[-1]:08d}.safetensors"
        content = newest.read_bytes()
        newest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.warns(UserWarning, match=f"Checkpoint {newest.stem} .* is refused: its tens"):
            again = resume(run, task=small_tasks.blobs)
        assert_same(whole, again)

    def test_a_checkpoint_whose_trace_was_altered_is_refused(self, tmp_path):
        run = tmp_path / "run"
        before = simulate(run, keeping=Keeping(keep=1)).summary()
        trace = run / "trace.jsonl"
        content = trace.read_bytes()
        trace.write_bytes(content.replace(b"0", b"1", 1))
        with (
            pytest.warns(UserWarning, match="the trace before it is not what was written"),
            pytest.raises(ValueError, match="got none that is whole"),
        ):
            resume(run, task=small_tasks.blobs)
        assert json.loads((run / "result.json").read_text()) == before

    def test_a_run_without_checkpoints(self, tmp_path):
        simulate(tmp_path / "run", keeping=Keeping(Durability.NONE))
        assert not list((tmp_path / "run" / "checkpoints").glob("0*"))
        with pytest.raises(ValueError, match="got none that is whole"):
            resume(tmp_path / "run", task=small_tasks.blobs)

    def test_a_run_that_is_going_on(self, tmp_path):
        def observe(run):
            with pytest.raises(ValueError, match="which is going on; wait"):
                resume(tmp_path / "run", task=small_tasks.blobs)
            seen.append(run.server.version)

        seen = []
        simulate(tmp_path / "run", observe=observe)
        assert seen
        assert audit(tmp_path / "run").holds

    def test_no_more_than_the_last_are_kept(self, tmp_path):
        simulate(tmp_path / "run", keeping=Keeping(every=0.0, keep=2))
        assert len(self.numbers(tmp_path / "run")) == 2

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Keeping("sometimes"),
            lambda: Keeping(every=-1.0),
            lambda: Keeping(keep=0),
        ],
    )
    def test_what_cannot_be(self, make):
        with pytest.raises(ValueError, match="Expected"):
            make()


def test_the_best_weights_are_those_of_the_best_evaluation(tmp_path):
    result = train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.1),
        runtime=Simulator(),
        workers=3,
        until=Until(updates=60, target="loss>=1000"),  # so that the first is the best
        evaluate_every=2.0,
        out=tmp_path / "run",
    )
    losses = [evaluation.scores["loss"] for evaluation in result.evaluations]
    assert max(losses) == losses[0] > losses[-1]
    model = small_tasks.linear()
    model.load_state_dict(load_file(tmp_path / "run" / "checkpoints" / "best.safetensors"))
    assert small_tasks.score(model)["loss"] == losses[0]


@pytest.mark.parametrize("keeping", [ALWAYS, EVERY_STEP], ids=["always", "every step"])
def test_local_workers_begin_anew_and_the_record_is_one(tmp_path, keeping):
    out = tmp_path / "run"
    options = {
        "rule": rules.default_rule(2, lr=0.1),
        "policy": policies.KAsync(2),
        "runtime": Local(),
        "workers": 2,
        "until": Until(updates=60),
    }
    each = one_checkpoint_for_each_event() if keeping is ALWAYS else contextlib.nullcontext()
    with crash_at(60), each:
        train(small_tasks.blobs, keeping=keeping, out=out, **options)
    before = (out / "trace.jsonl").read_bytes()
    journals = list((out / "checkpoints").glob("*.journal"))
    assert bool(journals) == (keeping is EVERY_STEP)
    result = resume(out, task=small_tasks.blobs)
    assert result.updates == 60
    found = audit(out)
    assert found.holds, [promise.violations for promise in found.promises]
    assert replay(out, task=small_tasks.blobs).identical
    joins = [record for record in read_trace(out / "trace.jsonl") if isinstance(record, Joined)]
    assert [(join.worker, join.incarnation) for join in joins] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert not list((out / "checkpoints").glob("*.journal"))
    if keeping is EVERY_STEP:  # nothing that was acknowledged is lost
        kept = (out / "trace.jsonl").read_bytes()
        assert kept.startswith(before[: before.rindex(b"\n") + 1])


def test_the_configuration_says_how_to_go_on(tmp_path):
    simulate(tmp_path / "run", keeping=Keeping(every=7.0))
    said = json.loads((tmp_path / "run" / "config.json").read_text())["resume"]
    assert said["simulator"] == {"seconds_per_job": 1.0, "restarts": 1, "together": 1}
    assert said["keeping"] == {"durability": "interval", "every": 7.0, "keep": 3}
