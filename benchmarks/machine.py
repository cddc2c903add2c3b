"""What a benchmark has found, kept with where and when it ran."""

import sys
from pathlib import Path
from typing import Any

from lagrad import bench

RESULTS = Path(__file__).parent / "results"


def record(name: str, figures: dict[str, Any]) -> None:
    """Print the figures and write them, dated, to results/NAME-DATE.json."""
    command = " ".join(["python", *sys.argv])
    print(bench.record(name, figures, RESULTS, command=command).read_text())
