"""The simulator against loops written by hand, clocks worked out by hand, and its own budgets."""

import itertools
import signal
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import small_tasks
from lagrad import policies, rules, train
from lagrad.core import BufferPolicy, Outcome, shuffled_order
from lagrad.delays import Equal, Factors, Gamma, Stragglers
from lagrad.runtimes import Result, Setup, Simulator, Stopped, Target, Until
from lagrad.tasks import Task, quadratic
from lagrad.trace import Judged, Ticked, digest, read_trace

ONE_SLOW = Factors(((0, 6.0),))


def simulate(task: Task = small_tasks.blobs, *, updates: int = 20, **options) -> Result:
    options = {"rule": rules.SGD(lr=0.1), "until": Until(updates=updates), **options}
    return train(task, runtime=Simulator(), **options)


def initial_model(task: Task, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task.model()


def batches(size: int, seed: int = 0):
    """The epochs' batches without end, each sample once per epoch; the last of an epoch short."""
    data = small_tasks.points()
    for epoch in itertools.count():
        order = shuffled_order(len(data), seed=seed, epoch=epoch)
        for start in range(0, len(data), size):
            yield data.batch(order[start : start + size])


def by_hand(optimizer, *, size: int, updates: int, seed: int = 0) -> dict[str, Tensor]:
    model = initial_model(small_tasks.blobs, seed)
    stepper = optimizer(model.parameters())
    for batch in itertools.islice(batches(size, seed), updates):
        stepper.zero_grad()
        small_tasks.cross_entropy(model, batch).backward()
        stepper.step()
    return model.state_dict()


class TestDeterminism:
    @pytest.fixture
    def options(self):
        return {
            "task": small_tasks.blobs,
            "rule": rules.DynamicMomentum(lr=0.05),
            "workers": 3,
            "delays": Gamma(),
        }

    def test_equal_setups_give_equal_traces_and_bits(self, options):
        one, two = simulate(**options, seed=4), simulate(**options, seed=4)
        assert one.trace_sha256 == two.trace_sha256
        assert one.digest == two.digest
        assert one.summary() == two.summary()

    def test_another_seed_gives_another_run(self, options):
        one, two = simulate(**options, seed=4), simulate(**options, seed=5)
        assert one.trace_sha256 != two.trace_sha256
        assert one.digest != two.digest

    def test_the_state_of_torch_has_no_say_and_is_left_alone(self, options):
        one = simulate(**options)
        torch.manual_seed(99)
        before = torch.get_rng_state()
        assert simulate(**options).digest == one.digest
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_folder_changes_nothing(self, options, tmp_path):
        one, two = simulate(**options), simulate(**options, out=tmp_path / "run")
        assert one.trace_sha256 == two.trace_sha256
        assert one.digest == two.digest


class TestExactness:
    @pytest.mark.parametrize(
        ("rule", "optimizer"),
        [
            (rules.SGD(lr=0.3), lambda p: torch.optim.SGD(p, lr=0.3)),
            (
                rules.SGD(lr=0.3, weight_decay=0.01),
                lambda p: torch.optim.SGD(p, lr=0.3, weight_decay=0.01),
            ),
            (
                rules.Momentum(lr=0.05, momentum=0.9),
                lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
            ),
            (
                rules.DynamicMomentum(lr=0.05),
                lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
            ),
        ],
        ids=["sgd", "weight decay", "momentum", "dynamic momentum"],
    )
    def test_one_asynchronous_worker_is_torch_bit_for_bit(self, rule, optimizer):
        # 50 samples in batches of 8: two epochs, each with a short last batch.
        result = simulate(rule=rule, workers=1, seed=3, updates=14)
        expected = by_hand(optimizer, size=8, updates=14, seed=3)
        assert result.mean_staleness == 0
        for name, value in result.state_dict.items():
            assert torch.equal(value, expected[name]), name

    def test_one_worker_on_a_quadratic_without_noise(self):
        task = quadratic(condition=30.0, dimension=6)
        result = simulate(task, workers=1, updates=25)
        x = initial_model(task).x
        stepper = torch.optim.SGD([x], lr=0.1)
        curvature = torch.tensor([30.0 ** (i / 5 - 1) for i in range(6)], dtype=torch.float64)
        for _ in range(25):
            x.grad = curvature * x.detach()
            stepper.step()
        assert torch.equal(result.params, x.detach())

    @pytest.mark.parametrize("workers", [2, 5])
    def test_synchronous_workers_are_one_large_batch(self, workers):
        task = small_tasks.make(batch_size=5)  # 50 samples: 10 leases an epoch, no step is short
        result = simulate(task, workers=workers, policy=policies.Synchronous(), updates=20)
        expected = by_hand(lambda p: torch.optim.SGD(p, lr=0.1), size=5 * workers, updates=20)
        for name, value in result.state_dict.items():
            torch.testing.assert_close(value, expected[name])

    def test_synchronous_results_do_not_depend_on_the_delays(self):
        digests = {
            simulate(workers=3, policy=policies.Synchronous(), delays=delays).digest
            for delays in (Equal(), Gamma(), Gamma(shape=1.0), Stragglers())
        }
        assert len(digests) == 1

    def test_the_evaluated_parameters_are_the_averaged_ones(self):
        task = quadratic(condition=10.0, dimension=3)
        result = simulate(task, workers=1, updates=30, ema=0.9)
        x = initial_model(task).x.detach().clone()
        curvature = torch.tensor([0.1, 10**-0.5, 1.0], dtype=torch.float64)
        average = x.clone()
        for step in range(1, 31):
            x -= 0.1 * curvature * x
            decay = min(0.9, step / (step + 9))
            average = decay * average + (1 - decay) * x
        torch.testing.assert_close(result.params, average)
        loss = (0.5 * curvature * average**2).sum().item()
        assert result.scores["loss"] == pytest.approx(loss)
        assert (
            digest(result.params) != result.digest == simulate(task, workers=1, updates=30).digest
        )


class TestClock:
    @pytest.mark.parametrize("updates", [1, 7])
    def test_the_slowest_sets_the_pace_of_synchronous_steps(self, updates):
        result = simulate(
            workers=4, policy=policies.Synchronous(), delays=ONE_SLOW, updates=updates
        )
        assert result.seconds == 6.0 * updates
        assert result.verdicts == {Outcome.APPLIED: 4 * updates}
        assert result.mean_staleness == 0

    def test_a_backup_worker_takes_the_place_of_the_straggler(self):
        result = simulate(workers=4, policy=policies.BackupWorkers(1), delays=ONE_SLOW, updates=12)
        assert result.seconds == 12.0
        # It comes at 6 and 12, each time after its step.
        assert result.workers[0].verdicts == {Outcome.DROPPED: 2}
        assert [tally.verdicts for tally in result.workers[1:]] == [{Outcome.APPLIED: 12}] * 3

    def test_equal_asynchronous_workers_take_turns(self):
        result = simulate(workers=4, updates=40)
        assert result.seconds == 10.0
        assert [tally.tau_max for tally in result.workers] == [3, 3, 3, 3]
        assert {tally.tau_min for tally in result.workers} == {0, 1, 2, 3}

    def test_a_job_lasts_as_long_as_told(self):
        result = train(
            small_tasks.blobs,
            runtime=Simulator(seconds_per_job=0.25),
            workers=1,
            delays=ONE_SLOW,
            until=Until(updates=3),
        )
        assert result.seconds == 4.5

    def test_a_deadline_steps_when_the_clock_strikes(self, tmp_path):
        # Jobs of 1, 1.5, 2.25 and 6. All are seen at 6: the first step. Later pushes at 7 and 7.5
        # leave a median of 1.5 and a deviation of 0.5: the step is due at 8, before 8.25.
        result = simulate(
            workers=4,
            policy=policies.Deadline(mads=1.0),
            delays=Factors(((1, 1.5), (2, 2.25), (3, 6.0))),
            updates=2,
            out=tmp_path,
        )
        records = list(read_trace(tmp_path / "trace.jsonl"))
        assert [record for record in records if isinstance(record, Ticked)] == [Ticked(8.0)]
        applied = [record.worker for record in records if isinstance(record, Judged)]
        assert sorted(applied[:4]) == [0, 1, 2, 3]
        assert sorted(applied[4:]) == [0, 1]
        assert result.seconds == 8.0


class TestBudgets:
    def test_updates(self):
        result = simulate(workers=3, updates=11)
        assert (result.stopped, result.updates) == (Stopped.BUDGET, 11)

    @pytest.mark.parametrize(("seconds", "updates"), [(5.5, 5), (5.0, 4), (0.5, 0), (25.0, 24)])
    def test_seconds(self, seconds, updates):
        result = simulate(workers=1, until=Until(seconds=seconds))
        assert (result.stopped, result.seconds) == (Stopped.BUDGET, seconds)
        assert result.updates == updates

    def test_seconds_end_in_the_middle_of_a_long_job(self):
        result = simulate(
            workers=1, delays=Factors(((0, 60.0),)), until=Until(seconds=15.0), evaluate_every=10.0
        )
        assert result.seconds == 15.0
        assert [evaluation.seconds for evaluation in result.evaluations] == [10.0]

    def test_epochs(self):
        task = small_tasks.make(batch_size=5)
        result = simulate(task, workers=2, policy=policies.Synchronous(), until=Until(epochs=2))
        assert (result.stopped, result.epochs, result.updates) == (Stopped.BUDGET, 2.0, 10)

    def test_target(self):
        result = simulate(workers=2, until=Until(target="loss<=0.1"), evaluate_every=3.0)
        assert (result.stopped, result.reached) == (Stopped.TARGET, True)
        *before, last = result.evaluations
        assert last.scores["loss"] <= 0.1 < min(e.scores["loss"] for e in before)
        assert (
            result.seconds_to_target
            == last.seconds
            == result.seconds
            == 3.0 * len(result.evaluations)
        )

    def test_the_first_to_come_ends_the_run(self):
        until = Until(updates=1000, seconds=1000.0, epochs=1.0, target="accuracy>=2")
        result = simulate(workers=1, until=until)
        assert (result.stopped, result.reached) == (Stopped.BUDGET, False)
        assert result.updates == 7

    @pytest.mark.parametrize(
        "limits",
        [{}, {"updates": 0}, {"seconds": 0.0}, {"epochs": -1.0}, {"seconds": float("nan")}],
        ids=repr,
    )
    def test_budgets_out_of_range_are_refused(self, limits):
        with pytest.raises(ValueError, match="Expected"):
            Until(**limits)

    @pytest.mark.parametrize(
        "text", ["", "loss", "loss<0.1", "loss<=x", "<=1", "loss>=1 2", "loss<=nan"]
    )
    def test_malformed_targets_are_refused(self, text):
        with pytest.raises(ValueError, match="Expected a target such as"):
            Until(target=text)

    @pytest.mark.parametrize("value", [0.98512345, 1e-9, 123456789.0, 1, 1 / 3])
    def test_a_target_reads_back_from_its_text(self, value):
        target = Target("accuracy", True, value)
        assert Target.parse(str(target)) == target

    @pytest.mark.parametrize(
        ("limits", "words"),
        [
            ({"target": 0.98}, "a target such as .*, got 0.98; name the score"),
            ({"updates": "5"}, "updates as an int, got '5'; give"),
            ({"updates": 1.5}, "updates as an int, got 1.5; give"),
            ({"updates": True}, "updates as an int, got True; give"),
            ({"seconds": "5"}, "seconds as a number, got '5'; without"),
            ({"epochs": [1]}, r"epochs as a number, got \[1\]; without"),
        ],
        ids=repr,
    )
    def test_budgets_of_another_type_are_refused(self, limits, words):
        with pytest.raises(TypeError, match=words):
            Until(**limits)

    @pytest.mark.parametrize(
        ("parts", "words"),
        [
            (("test accuracy", True, 0.9), "name of a score as metric, got 'test accuracy'; give"),
            ((None, True, 0.9), "name of a score as metric, got None; give"),
            (("accuracy", ">=", 0.9), "at_least as a bool, got '>='; True"),
            (("accuracy", True, "0.9"), "number as value of a target, got '0.9'; or"),
            (("accuracy", True, float("nan")), "number as value of a target, got nan; or"),
        ],
        ids=repr,
    )
    def test_targets_that_are_none_are_refused(self, parts, words):
        with pytest.raises((TypeError, ValueError), match=words):
            Target(*parts)


class TestTypes:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"until": None},
            {"rule": 5},
            {"policy": policies.Asynchronous},
            {"delays": 1.0},
            {"workers": 2.5},
            {"workers": True},
            {"seed": "1"},
            {"workers": "4"},
            {"ema": "0.5"},
            {"buffers": "mean"},
            {"evaluate_every": "4"},
        ],
        ids=repr,
    )
    def test_what_is_of_another_type_is_refused(self, wrong):
        right = {
            "task": quadratic(),
            "rule": rules.SGD(lr=0.1),
            "policy": policies.Asynchronous(),
            "workers": 2,
            "until": Until(updates=1),
        }
        Setup(**right)
        with pytest.raises(TypeError, match=r"Expected as .*, got .*; give"):
            Setup(**{**right, **wrong})

    def test_workers_of_another_type_are_refused_also_where_no_rule_is_named(self):
        with pytest.raises(TypeError, match="Expected as workers an int such as 4, got '4'"):
            train("parabola", runtime=Simulator(), workers="4", until=Until(updates=1))


class TestEvaluations:
    def test_parameters_that_stay_are_scored_once(self):
        result = simulate(
            workers=2, policy=policies.Synchronous(), updates=5, delays=Equal(), evaluate_every=0.01
        )
        assert [each.version for each in result.evaluations] == [0, 1, 2, 3, 4, 5]


class TestEnds:
    @pytest.mark.filterwarnings("ignore:Expected a learning rate")
    def test_divergence_keeps_the_last_good_weights(self, tmp_path):
        result = simulate(
            quadratic(),
            rule=rules.SGD(lr=1e3),
            workers=2,
            updates=10_000,
            evaluate_every=1.0,
            out=tmp_path,
        )
        assert result.stopped is Stopped.DIVERGED
        assert result.updates < 10_000
        kept = load_file(tmp_path / "checkpoints" / "model.safetensors")
        assert torch.isfinite(kept["x"]).all()
        assert not torch.isfinite(0.5 * (result.params**2).sum())

    @pytest.mark.filterwarnings("ignore:Expected a learning rate")
    def test_a_budget_spent_on_diverging_is_no_success(self, tmp_path):
        diverging = {"rule": rules.SGD(lr=1e3), "workers": 1, "evaluate_every": 1e9}
        steps = simulate(quadratic(), updates=10_000, **diverging).updates
        result = simulate(quadratic(), updates=steps, out=tmp_path, **diverging)
        assert result.updates == steps
        assert result.stopped is Stopped.DIVERGED
        kept = load_file(tmp_path / "checkpoints" / "model.safetensors")
        assert torch.isfinite(0.5 * (kept["x"] ** 2).sum())

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_the_run_in_order(self, number, tmp_path):
        handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
        result = simulate(
            workers=2,
            updates=1_000_000,
            out=tmp_path,
            observe=lambda run: signal.raise_signal(number),
        )
        assert result.stopped is Stopped.INTERRUPTED
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
        *_, last = read_trace(tmp_path / "trace.jsonl")
        assert last.stopped == "interrupted"
        assert {path.name for path in tmp_path.iterdir()} >= {"result.json", "config.json"}

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_before_a_run_takes_signals_waits_for_it(self, number, tmp_path):
        class Early(Simulator):
            def run(self, *args, **options):
                signal.raise_signal(number)
                return super().run(*args, **options)

        handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
        result = train("quadratic", runtime=Early(), until=Until(updates=5), out=tmp_path)
        assert (result.stopped, result.updates) == (Stopped.INTERRUPTED, 0)
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
        *_, last = read_trace(tmp_path / "trace.jsonl")
        assert last.stopped == "interrupted"
        assert (tmp_path / "result.json").exists()

    def test_a_second_signal_before_it_does_ends_it_at_once(self, tmp_path):
        class Early(Simulator):
            def run(self, *args, **options):
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
                raise AssertionError

        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # or it may be ignored
        try:
            with pytest.raises(KeyboardInterrupt):
                train("quadratic", runtime=Early(), until=Until(updates=5), out=tmp_path)
        finally:
            signal.signal(signal.SIGINT, before)

    def test_a_second_signal_ends_it_at_once(self):
        handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]

        def observe(run):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            simulate(updates=1_000_000, observe=observe)
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers

    def test_an_error_of_the_observer_restores_the_handlers(self):
        handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]

        def observe(run):
            raise ArithmeticError("observer")

        with pytest.raises(ArithmeticError, match="observer"):
            simulate(observe=observe)
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.parametrize("buffers", list(BufferPolicy))
def test_batch_norm_trains_and_evaluates_under_every_buffer_policy(buffers):
    task = small_tasks.with_batch_norm
    result = simulate(task, workers=3, updates=60, buffers=buffers)
    assert result.stopped is Stopped.BUDGET
    assert result.scores["accuracy"] > 0.6
    model = initial_model(task)
    before = model.state_dict()["1.running_mean"].clone()
    model.load_state_dict(result.state_dict)
    assert not torch.equal(model.state_dict()["1.running_mean"], before)
    assert small_tasks.score(model.eval()) == pytest.approx(result.scores)


@pytest.mark.parametrize("options", [{"seconds_per_job": 0.0}, {"seconds_per_job": float("inf")}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="Expected"):
        Simulator(**options)


def seen_threads(model: nn.Module, batch: tuple[Tensor, Tensor], *, seen: set[int]) -> Tensor:
    seen.add(torch.get_num_threads())
    return small_tasks.cross_entropy(model, batch)


def test_gradients_are_computed_with_one_thread_as_a_replay_does():
    seen: set[int] = set()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        task = small_tasks.make(loss=partial(seen_threads, seen=seen))
        setup = Setup(
            task=task,
            rule=rules.SGD(),
            policy=policies.Asynchronous(),
            workers=2,
            until=Until(updates=4),
        )
        Simulator().run(setup)
        assert seen == {1}
        assert torch.get_num_threads() == 2, "the caller's number is restored"
    finally:
        torch.set_num_threads(before)


def test_epochs_of_a_stream_are_refused():
    with pytest.raises(ValueError, match="a stream without epochs, got epochs=1"):
        train("parabola", runtime=Simulator(), until=Until(epochs=1))


@pytest.mark.parametrize("score", [torch.tensor(0.5), np.float32(0.5), 0.5])
def test_scores_of_every_kind_of_number_are_floats(score, tmp_path):
    task = small_tasks.make(evaluate=lambda model: {"half": score})
    result = train(task, runtime=Simulator(), until=Until(updates=3), out=tmp_path / "run")
    assert result.scores == {"half": 0.5}
    assert type(result.scores["half"]) is float


@pytest.mark.parametrize("scores", [[1.0], {"loss": "low"}, {1: 2.0}, {"loss": 10**400}, None])
def test_what_is_no_dict_of_scores_is_refused(scores):
    task = small_tasks.make(evaluate=lambda model: scores)
    with pytest.raises(TypeError, match="a dict from names to numbers"):
        train(task, runtime=Simulator(), until=Until(updates=3, target="loss<=0.1"))
