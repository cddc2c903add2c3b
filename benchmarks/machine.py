"""Where and when a benchmark ran, for its result file."""

import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

import lagrad

RESULTS = Path(__file__).parent / "results"


def record(name: str, figures: dict[str, Any]) -> None:
    """Print the figures and write them, dated, to results/NAME-DATE.json."""
    today = datetime.date.today().isoformat()
    content = {
        "benchmark": name,
        "command": " ".join(["python", *sys.argv]),
        "date": today,
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lagrad": lagrad.__version__,
        "figures": figures,
    }
    text = json.dumps(content, indent=2) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}-{today}.json").write_text(text)
    print(text)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
