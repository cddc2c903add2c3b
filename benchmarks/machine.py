"""Where and when a benchmark ran, for its result file."""

import datetime
import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

import lagrad
from lagrad.experiments import processor

RESULTS = Path(__file__).parent / "results"


def record(name: str, figures: dict[str, Any]) -> None:
    """Print the figures and write them, dated, to results/NAME-DATE.json."""
    today = datetime.date.today().isoformat()
    content = {
        "benchmark": name,
        "command": " ".join(["python", *sys.argv]),
        "date": today,
        "machine": processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lagrad": lagrad.__version__,
        "figures": figures,
    }
    text = json.dumps(content, indent=2) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}-{today}.json").write_text(text)
    print(text)
