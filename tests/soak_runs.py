"""One run of the soak: a setup and faults drawn from a seed, carried out, audited, compared."""

import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import small_tasks
from lagrad import audit, chaos, delays, policies, rules, train
from lagrad.core import Guard, Policy
from lagrad.runtimes import Result, Simulator, Until
from lagrad.trace import Struck, read_trace

WORKERS = 4
POLICIES = [
    policies.Asynchronous(),
    policies.Synchronous(),
    policies.BackupWorkers(1),
    policies.KSync(2),
    policies.KBatchSync(3),
    policies.KAsync(2),
    policies.KBatchAsync(3),
    policies.KFresh(2),
    policies.BoundedStaleness(2),
    policies.Ringmaster(8),
    policies.Deadline(1.0),
]
DELAYS = [delays.Equal(), delays.Gamma(), delays.Stragglers(), delays.Pareto(3.0), delays.Bursts()]
#: Longest virtual time of a run, in healthy jobs; one that needs more is a hang.
LIMIT = 3000.0


@dataclass(frozen=True)
class Outcome:
    """What one run showed."""

    seed: int
    result: Result
    violations: tuple[str, ...]
    struck: dict[str, int]


def asked(draw: random.Random) -> list[chaos.Fault]:
    """Faults of every kind that early enough find their worker, and never the last one alive."""
    everybody = range(WORKERS)
    faults: list[chaos.Fault] = [
        chaos.Kill(draw.choice(everybody), at=draw.uniform(0.0, 8.0))
        for _ in range(draw.randrange(1, 4))
    ]
    faults += [
        chaos.Pause(draw.choice(everybody), at=draw.uniform(0.0, 5.0), seconds=draw.uniform(0.5, 9))
        for _ in range(draw.randrange(3))
    ]
    slow, poisoned = draw.sample(everybody, 2)
    faults += [
        chaos.Slow(slow, factor=draw.uniform(1.5, 6.0)),
        chaos.Drop(p=draw.uniform(0.1, 0.25)),
        chaos.Duplicate(p=draw.uniform(0.1, 0.25)),
        chaos.Nan(p=draw.uniform(0.02, 0.1)),
        chaos.Nan(p=draw.uniform(0.5, 0.9), worker=poisoned),
    ]
    return faults


def guard(draw: random.Random, policy: Policy) -> Guard:
    """With quarantine and without; always with it where a step waits for everybody.

    A synchronous step without it waits for the worker of which nearly all is bad: the run is slow,
    or ends as diverged where one worker brings ten bad gradients per worker and nobody a good one.
    """
    longest, strikes = draw.choice([None, 20.0]), draw.choice([None, 2, 5])
    if policy == policies.Synchronous():
        strikes = strikes or 5
    return Guard(longest=longest, strikes=strikes)


def run(seed: int) -> Outcome:
    """Carry out run number `seed`; the violations are those that its audit found."""
    draw = random.Random(seed)
    policy = POLICIES[seed % len(POLICIES)]
    out = Path(tempfile.mkdtemp(prefix="lagrad-soak-")) / "run"
    try:
        result = train(
            small_tasks.blobs,
            rule=rules.Clipped(rules.SGD(lr=0.012)),
            policy=policy,
            runtime=Simulator(restarts=3),
            workers=WORKERS,
            until=Until(target="loss<=0.3", seconds=LIMIT),
            delays=draw.choice(DELAYS),
            seed=seed,
            chaos=asked(draw),
            guard=guard(draw, policy),
            release_dropped=draw.random() < 0.8,
            out=out,
        )
        found = audit(out)
        struck: dict[str, int] = {}
        for record in read_trace(out / "trace.jsonl"):
            if isinstance(record, Struck):
                struck[record.kind] = struck.get(record.kind, 0) + 1
        violations = tuple(words for promise in found.promises for words in promise.violations)
        return Outcome(seed, result, violations, struck)
    finally:
        shutil.rmtree(out.parent)
