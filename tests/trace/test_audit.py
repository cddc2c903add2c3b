"""An audit proves a run from its lines alone; each way of damaging them refutes it."""

import hashlib
import json
import shutil
from pathlib import Path

import msgspec
import pytest

import small_tasks
from conversation import Conversation
from lagrad import audit, policies, rules, train
from lagrad.core import Guard
from lagrad.delays import Gamma
from lagrad.runtimes import Simulator, Until
from lagrad.trace import (
    SERVER,
    Auditor,
    Ended,
    Joined,
    Left,
    Promised,
    PutAside,
    Sent,
    Struck,
    Ticked,
    of_command,
    of_event,
)

CHAOS = (
    "kill:worker=2,at=2s",
    "pause:worker=1,at=1s,for=3s",
    "slow:worker=3,factor=2",
    "drop:p=0.1",
    "duplicate:p=0.1",
    "nan:worker=1,p=0.5",
)
K_SYNC = policies.KSync(2)


def record(out: Path, policy=K_SYNC, *, updates=18, chaos=CHAOS, **options) -> Path:
    train(
        small_tasks.blobs,
        rule=rules.SGD(lr=0.1),
        policy=policy,
        runtime=Simulator(restarts=1),
        workers=4,
        delays=Gamma(),
        until=Until(updates=updates),
        chaos=chaos,
        out=out,
        **options,
    )
    return out


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return record(tmp_path_factory.mktemp("sound") / "run", updates=9)


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "trace.jsonl").read_text().splitlines()]


def tampered(run: Path, out: Path, content: list[dict]) -> Path:
    """A copy with other lines, whose SHA-256 the forger has put right."""
    if not out.exists():
        shutil.copytree(run, out)
    text = "".join(json.dumps(line) + "\n" for line in content)
    (out / "trace.jsonl").write_text(text)
    said = json.loads((out / "result.json").read_text())
    said["trace_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (out / "result.json").write_text(json.dumps(said))
    return out


def broken(run: Path) -> set[Promised]:
    return {promise.name for promise in audit(run).promises if not promise.holds}


@pytest.mark.parametrize(
    "policy",
    [
        policies.Asynchronous(),
        policies.Synchronous(),
        policies.BackupWorkers(1),
        policies.KBatchSync(3),
        policies.KFresh(2),
        policies.BoundedStaleness(1),
        policies.Deadline(1.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("release_dropped", [True, False])
def test_a_run_is_proved_whatever_its_policy(tmp_path, policy, release_dropped):
    run = record(tmp_path / "run", policy, release_dropped=release_dropped)
    found = audit(run)
    assert found.holds, [promise.violations for promise in found.promises]
    assert all(promise.checked for promise in found.promises)


def test_a_copy_with_its_lines_as_they_were_is_proved(sound, tmp_path):
    assert audit(tampered(sound, tmp_path / "copy", lines(sound))).holds


def test_no_line_can_be_left_out(sound, tmp_path):
    content = lines(sound)
    for number in range(len(content)):
        forged = tampered(sound, tmp_path / "forged", content[:number] + content[number + 1 :])
        # Whether a deadline was looked at, or when somebody asked whose answer came no more,
        # nothing else in a record says: those lines are held by the SHA-256 alone.
        if not audit(forged).holds:
            continue
        last_of_worker = not any(
            line.get("worker") == content[number].get("worker") for line in content[number + 1 :]
        )
        assert content[number]["is"] in {"pull", "send"}, content[number]
        assert last_of_worker, content[number]


def test_no_line_can_be_doubled(sound, tmp_path):
    content = lines(sound)
    for number, line in enumerate(content):
        forged = tampered(sound, tmp_path / "forged", [*content[:number], line, *content[number:]])
        if line["is"] not in {"pull", "leave"}:  # asking or going twice is no harm
            assert not audit(forged).holds, line


#: What the rest of a record does not determine: measurements, and words.
FREE = {"time", "loss", "weight", "reason", "digest", "stopped", "kind"}


def test_no_number_can_be_changed(sound, tmp_path):
    content = lines(sound)
    newest = max(line["lease"] for line in content if line["is"] == "send")
    for number, line in enumerate(content):
        for name, value in line.items():
            if name in FREE or not isinstance(value, int):
                continue
            changed = [*content]
            changed[number] = {**line, name: value + 1}
            # Slowness leaves no other mark. A push that was refused may have been wrong in its
            # header as well, and of one that came twice nothing but its name is read.
            if name == "worker" and line.get("kind") in {"slow", "pause"}:
                continue
            if name == "stop" and line["lease"] == newest:  # nothing follows on it yet
                continue
            answer = content[min(number + 1, len(content) - 1)].get("outcome")
            if line["is"] != "push" or answer not in {"rejected", "duplicate"}:
                forged = tampered(sound, tmp_path / "forged", changed)
                assert not audit(forged).holds, (name, line)


def test_no_outcome_can_be_changed(sound, tmp_path):
    content = lines(sound)
    for number, line in enumerate(content):
        if line["is"] == "verdict":
            for outcome in {"applied", "dropped", "duplicate", "rejected"} - {line["outcome"]}:
                changed = [*content]
                changed[number] = {**line, "outcome": outcome}
                assert not audit(tampered(sound, tmp_path / "forged", changed)).holds, line


def test_a_byte_of_a_measurement_is_held_by_the_hash(sound, tmp_path):
    run = Path(shutil.copytree(sound, tmp_path / "run"))
    trace = run / "trace.jsonl"
    trace.write_text(trace.read_text().replace('"loss":', '"loss": ', 1))
    assert broken(run) == {Promised.WHOLE}


def test_a_cut_or_damaged_record_is_no_error_but_refuted(sound, tmp_path):
    for name, content in {"cut": lines(sound)[:-1], "none": []}.items():
        assert Promised.WHOLE in broken(tampered(sound, tmp_path / name, content))
    run = Path(shutil.copytree(sound, tmp_path / "run"))
    with (run / "trace.jsonl").open("a") as trace:
        trace.write('{"is":"pu')
    assert Promised.WHOLE in broken(run)


def test_a_fault_that_did_not_happen_refutes_the_run(tmp_path):
    run = record(tmp_path / "run", chaos=("kill:worker=1,at=1000s", "drop:p=0.5"))
    (violation,) = next(p for p in audit(run).promises if p.name is Promised.FAULTS).violations
    assert violation == "kill(worker=1,at=1000) was asked for and did not happen"


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Expected the folder of a run"):
        audit(tmp_path)


class TestALeaseThatIsSetAside:
    """Two of three workers fail over lease 0, and the third goes on."""

    @pytest.fixture
    def told(self):
        talk = Conversation(policies.Asynchronous(), guard=Guard(attempts=2), num_samples=6)
        told, handle = [], talk.server.handle

        def hear(event):
            commands = handle(event)
            told.extend([of_event(event), *map(of_command, commands)])
            return commands

        talk.server.handle = hear
        talk.join(0)
        talk.leave(0, failed=True)
        talk.join(1)
        talk.leave(1, failed=True)
        talk.join(2)
        talk.push(2)
        talk.pull(2)
        return [*told, Ended(talk.server.version, "budget", "")]

    def violated(self, told, attempts=2):
        auditor = Auditor(attempts=attempts)
        for record in told:
            auditor.read(record)
        auditor.close()
        return {name for name, promise in auditor.promises.items() if not promise.holds}

    def test_it_is_proved_and_said(self, told):
        assert self.violated(told) == set()
        [aside] = [record for record in told if isinstance(record, PutAside)]
        assert aside == PutAside(lease=0, failures=2)

    def test_no_line_of_it_can_be_left_out_or_doubled(self, told):
        for number, record in enumerate(told):
            if isinstance(record, PutAside) or (isinstance(record, Left) and record.failed):
                assert self.violated([*told[:number], *told[number + 1 :]]), record
                if isinstance(record, PutAside):
                    assert self.violated([*told[:number], record, *told[number:]]), record

    def test_nothing_of_it_can_be_changed(self, told):
        where = {type(record): number for number, record in enumerate(told)}
        last = where[PutAside]
        for wrong in (PutAside(lease=1, failures=2), PutAside(lease=0, failures=3)):
            assert self.violated([*told[:last], wrong, *told[last + 1 :]])
        order = msgspec.structs.replace(told[last - 1], failed=False)
        assert self.violated([*told[: last - 1], order, *told[last:]])

    def test_nobody_is_sent_it_afterwards(self, told):
        number = max(n for n, record in enumerate(told) if isinstance(record, Sent))
        again = msgspec.structs.replace(told[number], lease=0, start=0, stop=1)
        assert Promised.LEASES in self.violated([*told[:number], again, *told[number + 1 :]])

    @pytest.mark.parametrize("attempts", [1, 3, None])
    def test_it_takes_as_many_failures_as_the_run_was_set_up_with(self, told, attempts):
        assert Promised.LEASES in self.violated(told, attempts)


def test_a_server_may_be_killed_again_before_it_has_told_who_is_gone():
    def violations(*between):
        auditor = Auditor(release_dropped=True)
        struck = Struck(1.0, 0, "kill", SERVER)
        for record in (Joined(0.0, 0, 0), struck, *between, Left(2.0, 0, 0)):
            auditor.read(record)
        return auditor.promises[Promised.FAULTS].violations

    assert not violations()
    assert not violations(Struck(1.5, 1, "kill", SERVER))
    assert "outlive" in violations(Ticked(1.5))[0]
