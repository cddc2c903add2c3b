"""A long run that watches its own memory: python flat_runs.py simulator|local UPDATES.

Prints one JSON object: resident bytes, those of the workers, and open descriptors, at 10 %, 50 %
and 100 % of the updates.
"""

import json
import os
import sys
import time
from pathlib import Path

import small_tasks
from lagrad import policies, rules, train
from lagrad.core import Guard
from lagrad.delays import Gamma
from lagrad.runtimes import Local, Run, Simulator, Until

MARKS = (0.1, 0.5, 1.0)
#: Every kind of push occurs: lost, doubled, poisoned, and workers come into quarantine.
CHAOS = ("drop:p=0.01", "duplicate:p=0.01", "nan:p=0.01", "nan:worker=1,p=0.3")


def resident(pid: int) -> int:
    """Bytes of a process that lie in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(runtime: str, updates: int) -> dict[str, object]:
    rows: list[dict[str, float]] = []
    of_workers = 0

    def look(run: Run) -> None:
        nonlocal of_workers
        if all(Path(f"/proc/{pid}").exists() for pid in run.processes.values()):
            of_workers = sum(map(resident, run.processes.values()))
        note(run.server.version, last=False)

    def note(version: int, *, last: bool) -> None:
        if len(rows) < len(MARKS) and (last or version >= MARKS[len(rows)] * updates):
            descriptors = len(os.listdir("/proc/self/fd"))
            row = {"version": version, "resident": resident(os.getpid())}
            rows.append({**row, "workers": of_workers, "descriptors": descriptors})
            print(rows[-1], file=sys.stderr, flush=True)

    begun = time.monotonic()
    result = train(
        small_tasks.blobs,
        rule=rules.Clipped(rules.SGD(lr=1e-4)),
        policy=policies.Asynchronous(),
        runtime=Simulator() if runtime == "simulator" else Local(),
        workers=4 if runtime == "simulator" else 2,
        delays=Gamma(),
        until=Until(updates=updates),
        evaluate_every=1e9,
        chaos=CHAOS,
        guard=Guard(longest=100.0, spike=1e6),
        observe=look,
    )
    note(result.updates, last=True)
    verdicts = {outcome.value: count for outcome, count in result.verdicts.items()}
    return {"rows": rows, "verdicts": verdicts, "seconds": time.monotonic() - begun}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
