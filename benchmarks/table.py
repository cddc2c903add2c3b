"""The newest result file of each benchmark of `lagrad bench`, as docs/benchmarks.md.

python benchmarks/table.py
"""

import json
from pathlib import Path

from lagrad.bench import table
from machine import RESULTS

OUT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
NAMES = ("push", "simulate", "server")


def main() -> None:
    parts = ["# Benchmarks\n\nMade by `python benchmarks/table.py` from `benchmarks/results/`."]
    for name in NAMES:
        newest = max(RESULTS.glob(f"{name}-[0-9]*.json"), default=None)
        if newest is None:
            continue
        found = json.loads(newest.read_text())
        terms = ("date", "machine", "load_average_1_min", "python", "torch", "lagrad")
        said = ", ".join(f"{term.replace('_', ' ')} {found[term]}" for term in terms)
        parts.append(f"## {name}\n\n`{found['command']}`: {said}.\n\n{table(found['figures'])}")
    OUT.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
