"""What a trace holds, how it is read back, and what can be made of it."""

import hashlib
import itertools
from contextlib import closing

import msgspec
import pytest
import torch

import small_tasks
from lagrad import rules, train
from lagrad.core import (
    Join,
    Lease,
    Leave,
    Outcome,
    Pull,
    Push,
    Quarantine,
    RollBack,
    Send,
    SetAside,
    Shutdown,
    Tick,
    Verdict,
)
from lagrad.delays import Factors, Gamma, Recorded
from lagrad.runtimes import Result, Simulator, Until
from lagrad.trace import (
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
    TraceWriter,
    digest,
    event_of,
    job_durations,
    of_command,
    of_event,
    push_of,
    read_trace,
)

PARAMS = torch.tensor([1.0, -2.5])

PUSH = {"worker": 1, "incarnation": 2, "sequence": 3, "version": 4, "lease": 5, "values": PARAMS}
EVENTS = [
    (Join(worker=1, incarnation=2, time=0.5), Joined(0.5, 1, 2)),
    (Leave(worker=1, incarnation=2, time=0.5), Left(0.5, 1, 2)),
    (Leave(worker=1, incarnation=3, time=0.6, failed=True), Left(0.6, 1, 3, failed=True)),
    (Pull(worker=1, incarnation=2, time=0.1 + 0.2), Pulled(0.1 + 0.2, 1, 2)),
    (Push(**PUSH, loss=1 / 3, time=1e-9), Pushed(1e-9, 1, 2, 3, 4, 5, 1 / 3)),
    (Push(**PUSH, loss=float("nan"), time=7.0), Pushed(7.0, 1, 2, 3, 4, 5, None)),
    (Push(**PUSH, loss=float("inf"), time=7.0), Pushed(7.0, 1, 2, 3, 4, 5, None)),
    (Push(**PUSH, loss=None, rates=(0.5,), time=7.0), Pushed(7.0, 1, 2, 3, 4, 5, None, (0.5,))),
    (Pull(worker=1, incarnation=2, time=0.2, batch_size=8), Pulled(0.2, 1, 2, 8)),
    (Tick(time=1e12), Ticked(1e12)),
]
COMMANDS = [
    (
        Send(worker=1, incarnation=2, version=2**60, lease=Lease(5, 6, 7, 8), point=PARAMS),
        Sent(1, 2, 2**60, 5, 6, 7, 8),
    ),
    *(
        (
            Verdict(
                worker=1,
                incarnation=2,
                sequence=3,
                outcome=outcome,
                tau=tau,
                weight=0.1,
                reason='of "a" reason,\nthus',
            ),
            Judged(1, 2, 3, outcome, tau, 0.1, 'of "a" reason,\nthus'),
        )
        for outcome, tau in itertools.product(Outcome, (None, 0, 7))
    ),
    (Shutdown(worker=1, incarnation=2, reason="late"), ToldToEnd(1, 2, "late")),
    (Quarantine(worker=1, incarnation=2, until=9), Quarantined(1, 2, 9)),
    (SetAside(lease=Lease(3, 0, 8, 12), failures=2), PutAside(3, 2)),
    (RollBack(version=9, to=4), RolledBack(9, 4)),
]


def name(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize(("event", "record"), EVENTS, ids=name)
def test_an_event_has_its_record(event, record):
    assert of_event(event) == record


@pytest.mark.parametrize(("event", "record"), EVENTS, ids=name)
def test_a_record_has_its_event(event, record):
    if isinstance(record, Pushed):
        push = push_of(record, PARAMS, loss=event.loss, buffers=None)
        assert msgspec.structs.asdict(push) == msgspec.structs.asdict(event)
    else:
        assert event_of(record) == event


@pytest.mark.parametrize(("command", "record"), COMMANDS, ids=name)
def test_a_command_has_its_record(command, record):
    assert of_command(command) == record


def test_all_records_come_back_in_order(tmp_path):
    path = tmp_path / "trace.jsonl"
    with closing(TraceWriter(path)) as writer:
        for event, _ in EVENTS:
            writer.event(event, [command for command, _ in COMMANDS])
        writer.struck(Struck(2e12, 1, "kill", 2))
        writer.end(version=9, stopped="budget", params=PARAMS)
    answers = [record for _, record in COMMANDS]
    expected: list[AnyRecord] = []
    for _, record in EVENTS:
        expected += [record, *answers]
    expected.append(Struck(2e12, 1, "kill", 2))
    expected.append(Ended(9, "budget", digest(PARAMS)))
    assert list(read_trace(path)) == expected
    assert {type(record) for record in expected} == set(AnyRecord.__args__)


def test_the_hash_is_that_of_the_file_with_or_without_one(tmp_path):
    path = tmp_path / "trace.jsonl"
    with closing(TraceWriter(path)) as writer, closing(TraceWriter(None)) as alone:
        for one in (writer, alone):
            one.event(Join(worker=0), [])
            one.end(version=0, stopped="budget", params=PARAMS)
    assert writer.sha256 == alone.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_flushed_can_be_read_while_writing_goes_on(tmp_path):
    path = tmp_path / "trace.jsonl"
    with closing(TraceWriter(path)) as writer:
        writer.event(Join(worker=0), [])
        writer.flush()
        assert list(read_trace(path)) == [Joined(0.0, 0, 0)]


def test_a_trace_is_never_overwritten(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        TraceWriter(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "damage",
    [
        b'{"is":"join","time":0.0,"wor',
        b'{"is":"jump","time":0.0}\n',
        b'{"is":"join","time":0.0,"worker":"x","incarnation":0}\n',
        b'{"is":"tick"}\n',
        b"[]\n",
        b"\n",
        b'"\xff"\n',
        b'{"is":"shutdown","worker":0,"incarnation":0,"reason":"\xff"}\n',
    ],
    ids=repr,
)
def test_the_damaged_line_is_named(damage, tmp_path):
    path = tmp_path / "trace.jsonl"
    good = b'{"is":"tick","time":1.0}\n'
    path.write_bytes(good + good + damage)
    records = read_trace(path)
    assert [next(records), next(records)] == [Ticked(1.0), Ticked(1.0)]
    with pytest.raises(ValueError, match=r"Line 3 of .*trace\.jsonl is not a record"):
        next(records)


class TestDigest:
    def test_equal_bits_give_equal_digests(self):
        strided = torch.stack([PARAMS, PARAMS], dim=1)[:, 0]
        assert digest(strided) == digest(PARAMS) == digest(PARAMS.clone().requires_grad_())

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
    def test_every_dtype_has_one(self, dtype):
        assert digest(torch.ones(2, dtype=dtype)) != digest(torch.tensor([1.0, 2.0]).to(dtype))

    @pytest.mark.parametrize(
        "other",
        [
            torch.tensor([1.0, -2.5 + 3e-7]),
            torch.tensor([-2.5, 1.0]),
            PARAMS.double(),
            torch.tensor([1.0, -2.5, 0.0]),
        ],
        ids=repr,
    )
    def test_other_bits_give_another(self, other):
        assert digest(other) != digest(PARAMS)

    def test_minus_zero_is_not_zero(self):
        assert digest(torch.tensor([-0.0])) != digest(torch.tensor([0.0]))


def simulate(out, *, updates: int, delays, workers: int = 3, **options) -> Result:
    return train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.1),
        runtime=Simulator(**options),
        workers=workers,
        delays=delays,
        until=Until(updates=updates),
        out=out,
    )


def order(out) -> list[tuple]:
    """Who did what, without the times, which rounding may shift."""
    return [
        (name(record), getattr(record, "worker", None))
        for record in read_trace(out / "trace.jsonl")
    ]


class TestJobDurations:
    def test_dyadic_durations_come_back_exactly(self, tmp_path):
        record = ((1.0, 2.0, 0.5), (3.0,), (0.25, 0.75))
        simulate(tmp_path, updates=40, delays=Recorded(record))
        found = job_durations(tmp_path / "trace.jsonl")
        assert sum(map(len, found)) == 40
        for durations, cycle in zip(found, record, strict=True):
            assert durations == tuple(itertools.islice(itertools.cycle(cycle), len(durations)))

    def test_drawn_durations_come_back_in_seconds(self, tmp_path):
        model = Factors(((1, 4.0),), base=Gamma(shape=2.0))
        simulate(tmp_path, updates=60, delays=model, seconds_per_job=0.5)
        for worker, durations in enumerate(job_durations(tmp_path / "trace.jsonl")):
            drawn = itertools.islice(model.stream(worker, 0), len(durations))
            assert durations == pytest.approx([0.5 * duration for duration in drawn])

    def test_a_run_on_recorded_durations_is_the_run_again(self, tmp_path):
        delays = Factors(((1, 4.0),), base=Gamma(shape=2.0))
        simulate(tmp_path / "one", updates=60, delays=delays)
        # Fewer updates: jobs under way at the end have left no duration behind.
        again = simulate(
            tmp_path / "two",
            updates=30,
            delays=Recorded(job_durations(tmp_path / "one" / "trace.jsonl")),
        )
        same = simulate(tmp_path / "three", updates=30, delays=delays)
        assert again.digest == same.digest
        assert order(tmp_path / "two") == order(tmp_path / "three")

    def test_waiting_for_the_others_is_no_part_of_a_job(self, tmp_path):
        train(
            small_tasks.blobs,
            rule=rules.SGD(lr=0.1),
            policy="synchronous",
            runtime=Simulator(),
            workers=2,
            delays=Factors(((0, 4.0),)),
            until=Until(updates=3),
            out=tmp_path,
        )
        assert job_durations(tmp_path / "trace.jsonl") == ((4.0,) * 3, (1.0,) * 3)

    def test_a_job_that_was_given_up_has_no_duration(self, tmp_path):
        path = tmp_path / "trace.jsonl"
        lease = Lease(0, 0, 0, 1)
        with closing(TraceWriter(path)) as writer:
            for incarnation, start in ((0, 0.0), (1, 10.0)):
                who = {"worker": 0, "incarnation": incarnation}
                writer.event(Join(**who, time=start), [])
                send = Send(**who, version=0, lease=lease, point=PARAMS)
                writer.event(Pull(**who, time=start), [send])
                if incarnation == 0:
                    writer.event(Leave(**who, time=5.0), [])
            push = Push(**who, sequence=0, version=0, lease=0, values=PARAMS, time=12.0)
            writer.event(push, [])
        assert job_durations(path) == ((2.0,),)

    def test_a_trace_without_jobs_is_refused(self, tmp_path):
        path = tmp_path / "trace.jsonl"
        path.write_bytes(b'{"is":"tick","time":1.0}\n')
        with pytest.raises(ValueError, match="Expected a trace with finished jobs"):
            job_durations(path)


def test_a_push_that_comes_twice_is_no_job(tmp_path):
    train(
        small_tasks.blobs,
        runtime=Simulator(),
        workers=3,
        delays=Gamma(),
        until=Until(updates=30),
        chaos=("duplicate:p=1",),
        out=tmp_path / "run",
    )
    durations = job_durations(tmp_path / "run" / "trace.jsonl")
    assert all(min(each) > 0 for each in durations)
