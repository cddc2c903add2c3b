"""A long run that watches its own memory: python flat_runs.py simulator|local UPDATES.

Prints one JSON object: resident bytes and open descriptors at 10 %, 50 % and 100 % of the updates.
"""

import json
import os
import sys
import time

import small_tasks
from lagrad import policies, rules, train
from lagrad.core import Guard
from lagrad.delays import Gamma
from lagrad.runtimes import Local, Run, Simulator, Until

MARKS = (0.1, 0.5, 1.0)
#: Every kind of push occurs: lost, doubled, poisoned, and workers come into quarantine.
CHAOS = ("drop:p=0.01", "duplicate:p=0.01", "nan:p=0.01", "nan:worker=1,p=0.3")


def main(runtime: str, updates: int) -> dict[str, object]:
    rows: list[dict[str, float]] = []

    def look(run: Run) -> None:
        note(run.server.version, last=False)

    def note(version: int, *, last: bool) -> None:
        if len(rows) < len(MARKS) and (last or version >= MARKS[len(rows)] * updates):
            with open("/proc/self/statm") as file:
                resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            descriptors = len(os.listdir("/proc/self/fd"))
            rows.append({"version": version, "resident": resident, "descriptors": descriptors})
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
