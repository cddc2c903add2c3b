"""One real run full of faults: drawn from a seed, started as a person does, proved afterwards."""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import small_tasks
from lagrad import audit, chaos, replay, specs
from lagrad.trace import Judged, Struck, read_trace
from lagrad_command import Command, kill_servers

WORKERS = 4
HUNG_AFTER_S = 2.0
#: With the gradients of a step, so that all policies move alike in time.
POLICIES = [
    ("asynchronous", 1),
    ("synchronous", 4),
    ("k-batch-async:2", 2),
    ("backup-workers:1", 3),
    ("k-sync:2", 2),
    ("bounded-staleness:3", 1),
    ("ringmaster:8", 1),
    ("k-async:2", 2),
]
#: How a failure that `result.json` tells of is known.
WORDS = {
    "stopped for too long": "no sign of life",
    "deadlocks": "computes for",
    "exceptions": "\nArithmeticError:",
    "out of memory": "\nMemoryError:",
    "killed": "exit code -9",
    "times without a worker": "No worker was there",
}


@dataclass
class Outcome:
    """What one run showed. violations: of its promises, of its replay, of what was acknowledged."""

    seed: int
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def asked(draw: random.Random) -> list[chaos.Fault]:
    """Faults with a time and without; one worker at least is left alone by those with one."""
    victims = draw.sample(range(WORKERS), 3)
    faults: list[chaos.Fault] = [
        chaos.Kill(draw.choice(victims[:2]), at=draw.uniform(0.2, 2.5))
        for _ in range(draw.randrange(1, 3))
    ]
    faults += [
        chaos.Pause(draw.choice(victims), at=draw.uniform(0.2, 2.5), seconds=draw.uniform(0.1, 1))
        for _ in range(draw.randrange(3))
    ]
    if draw.random() < 0.5:
        faults.append(chaos.Pause(victims[1], at=draw.uniform(0.2, 1.5), seconds=3000.0))
    if draw.random() < 0.5:
        faults.append(chaos.Preempt(victims[2], at=draw.uniform(0.2, 2.5)))
    faults += [
        chaos.Drop(p=draw.uniform(0.01, 0.1)),
        chaos.Duplicate(p=draw.uniform(0.01, 0.1)),
        chaos.Nan(p=draw.uniform(0.01, 0.05)),
    ]
    return faults


def plan(draw: random.Random, folder: Path) -> Path:
    """What goes wrong in the task's own code; see `small_tasks.fails_as_planned`."""
    folder.mkdir()
    if draw.random() < 0.3:
        for number in range(6):  # as often as it takes to set aside the lease of two epochs
            (folder / f"poison-{number}").touch()
    for _ in range(draw.randrange(3)):
        what = draw.choice(["ArithmeticError", "MemoryError", "SIGKILL", "deadlock"])
        (folder / f"{what}-{draw.randrange(1, 60)}").touch()
    return folder


def run(seed: int, folder: Path) -> Outcome:
    """Carry out run number `seed` in a new folder, and prove it."""
    draw = random.Random(seed)
    policy, quorum = POLICIES[seed % len(POLICIES)]
    out, outcome = folder / "run", Outcome(seed)
    faults = [word for fault in asked(draw) for word in ("--chaos", specs.describe(fault))]
    options = ["--workers", WORKERS, "--seconds-per-job", 0.02, "--rule", f"sgd:{0.0006 * quorum}"]
    options += ["--policy", policy, "--seed", seed, "--target", "loss<=0.3", "--seconds", 300]
    options += ["--durability", "every-step", "--checkpoint-every", 0.5, "--evaluate-every", 0.2]
    options += ["--hung-after", HUNG_AFTER_S, "--restarts", 6, *faults]
    errors = plan(draw, folder / "plan")
    words = ("train", "small_tasks:faulty", *map(str, options))
    with Command(out, *words, LAGRAD_TEST_PLAN=str(errors)) as command:
        written = kill_servers(command, draw, draw.randrange(3), within=400)
        code, said = command.end()
    if code != 0:
        outcome.violations.append(f"exit code {code}: {said}")
    prove(outcome, out, written)
    return outcome


def prove(outcome: Outcome, out: Path, written: list[bytes]) -> None:
    """Audit, replay, and what was acknowledged before each death of the server."""
    violations, counts = outcome.violations, outcome.counts
    result = json.loads((out / "result.json").read_text())
    if not result["reached"]:
        violations.append(f"ended as {result['stopped']} without its target")
    # In a short run a fault may find no time to strike, which the audit says.
    told = [words for promise in audit(out).promises for words in promise.violations]
    violations += [words for words in told if "did not happen" not in words]
    violations += replay(out, task=small_tasks.faulty).differences
    whole = (out / "trace.jsonl").read_bytes()
    violations += [
        f"lines acknowledged before death {number} are lost"
        for number, lines in enumerate(written)
        if not whole.startswith(lines)
    ]
    records = list(read_trace(out / "trace.jsonl"))
    applied = Counter(
        (record.worker, record.incarnation, record.sequence)
        for record in records
        if isinstance(record, Judged) and record.outcome == "applied"
    )
    violations += [
        f"{push} was applied {times} times" for push, times in applied.items() if times > 1
    ]
    counts.update(record.kind for record in records if isinstance(record, Struck))
    for name, words in WORDS.items():
        counts[name] += sum(words in failure for failure in result["failures"])
    counts["leases set aside"] += len(result["set_aside"])
    counts["deaths of the server"] += len(written)
    counts["gradients applied"] += applied.total()
    counts["steps"] += result["updates"]
