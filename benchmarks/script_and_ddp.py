"""examples/lenet_lagrad.py with uneven workers, beside the same script under DDP, and alone.

    python benchmarks/script_and_ddp.py [--epochs 1] [--images 60000] [--rounds 3]

In each round, one by one: examples/lenet.py alone; `lagrad run --workers 4 --slow 0:4
examples/lenet_lagrad.py`; benchmarks/lenet_ddp.py on 4 ranks, of which rank 0 is as slow. All make
as many passes over the same images; the last two scale the learning rate by the workers.
Seconds: of training with the test after each epoch, without the start of the processes. Accuracy:
on all test images after the last epoch (lagrad: of the worker that printed last).
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import record

ROOT = Path(__file__).resolve().parent.parent
WORKERS, FACTOR = 4, 4.0


def output(*command: str) -> str:
    """What a command printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def accuracy(text: str) -> float:
    """The last one printed."""
    return float(re.findall(r"accuracy (\S+)", text)[-1])


def alone(settings: list[str]) -> dict[str, float]:
    """The original."""
    began = time.monotonic()
    text = output(str(ROOT / "examples" / "lenet.py"), *settings)
    return {"seconds": time.monotonic() - began, "accuracy": accuracy(text)}


def uneven(settings: list[str]) -> dict[str, float]:
    """The changed script."""
    with tempfile.TemporaryDirectory() as folder:
        text = output(
            *(
                "-c",
                "from lagrad.cli import main; main()",
                "run",
                "--workers",
                str(WORKERS),
                "--slow",
                f"0:{FACTOR}",
            ),
            *("--json", "--out", f"{folder}/run"),
            *(str(ROOT / "examples" / "lenet_lagrad.py"), *settings),
        )
    summary = json.loads(text.splitlines()[-1])
    return {
        "seconds": summary["seconds"],
        "accuracy": accuracy(text),
        "updates": summary["updates"],
        "mean_staleness": summary["mean_staleness"],
    }


def ddp(settings: list[str]) -> dict[str, float]:
    """The same script under DDP."""
    text = output(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(WORKERS)),
        *(str(ROOT / "benchmarks" / "lenet_ddp.py"), "--factor", str(FACTOR), *settings),
    )
    found = re.search(r"seconds (\S+)", text)
    assert found is not None
    return {"seconds": float(found[1]), "accuracy": accuracy(text)}


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    settings = ["--epochs", str(options.epochs), "--images", str(options.images)]
    rounds = []
    for _ in range(options.rounds):
        load = os.getloadavg()[0]
        one = {"alone": alone(settings), "lagrad": uneven(settings), "ddp": ddp(settings)}
        rounds.append({"load_before": load, **one})
        print(rounds[-1], file=sys.stderr, flush=True)
    times = [r["ddp"]["seconds"] / r["lagrad"]["seconds"] for r in rounds]  # type: ignore[index]
    record(
        "script-and-ddp",
        {
            "epochs": options.epochs,
            "images": options.images,
            "workers": WORKERS,
            "slow": {"worker 0": FACTOR},
            "median_ddp_seconds_per_lagrad_second": statistics.median(times),
            "rounds": rounds,
        },
    )


if __name__ == "__main__":
    main()
