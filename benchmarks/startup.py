"""Seconds from the start of Python to the first update: LeNet on MNIST, four local workers.

    python benchmarks/startup.py [--rounds 5]

In turns: processes forked from one that has imported torch, as they are where the system has a
fork server, and processes that import everything anew, as elsewhere.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from lagrad.bench import in_turns
from machine import record

SCRIPT = """
import multiprocessing, sys, time
if sys.argv[1] == "anew":
    multiprocessing.get_all_start_methods = lambda: ["fork", "spawn"]
from lagrad import Until, train
from lagrad.runtimes import Run

handle, first = Run.handle, []

def watched(run, event):
    answer = handle(run, event)
    if run.server.version and not first:
        first.append(time.time())
    return answer

if __name__ == "__main__":
    imported = time.time()
    Run.handle = watched
    train("lenet-mnist", workers=4, until=Until(updates=1), evaluate_every=1e6)
    print(imported, first[0])
"""
WAYS = ("forked", "anew")


def measure(script: Path, way: str) -> tuple[float, float]:
    """Seconds to the end of the first process's imports, and to the first update."""
    began = time.time()
    command = [sys.executable, str(script), way]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    imported, updated = map(float, done.stdout.split())
    return imported - began, updated - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(SCRIPT)
        found = in_turns(
            {way: partial(measure, script, way) for way in WAYS}, rounds=options.rounds
        )
    figures: dict[str, Any] = {"rounds": options.rounds, "workers": 4}
    for way, each in found.items():
        imported, updated = zip(*each, strict=True)
        figures[way] = {
            "seconds_to_the_first_update": [round(s, 2) for s in updated],
            "median": round(statistics.median(updated), 2),
            "of_which_imports_of_the_first_process": round(statistics.median(imported), 2),
        }
    record("startup", figures)


if __name__ == "__main__":
    main()
