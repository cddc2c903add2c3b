"""The examples in a quick form, alone and by two workers; and the diff that the README shows."""

import difflib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lagrad.sessions import Launch, launch

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"

#: Settings of a quick run, and what it prints alone, its numbers within the tolerance.
QUICK = {
    "lenet.py": ("--epochs 1 --images 2560", "epoch 1: test accuracy 0.73", 0.15),
    "lenet_lagrad.py": ("--epochs 1 --images 2560", "epoch 1: test accuracy 0.73", 0.15),
    "gpt.py": (
        "--width 32 --layers 1 --length 32 --samples 960",
        "loss on held-out text 3.86, of chance 4.85",
        0.4,
    ),
    "resnet.py": ("--width 4 --images 512 --epochs 1 --batch 64", "epoch 1: accuracy 0.13", 0.15),
    "lightning_lenet.py": ("--epochs 1 --images 2560", "test accuracy 0.77", 0.15),
    "regression.py": ("--epochs 2 --log-interval 100", None, 0.15),
}
REGRESSION = """\
Train Epoch: 1 [0]\tLoss: 0.451
Test set: Average loss: 0.035
Train Epoch: 2 [0]\tLoss: 0.028
Test set: Average loss: 0.025"""
NUMBER = re.compile(r"\d+\.\d+")


def alone(name):
    """What a quick run of it prints."""
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *QUICK[name][0].split()],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ).stdout.strip()


@pytest.fixture(scope="module")
def running():
    """All of them, two at a time: each takes one processor, and mostly to import."""
    with ThreadPoolExecutor(2) as side_by_side:
        yield {name: side_by_side.submit(alone, name) for name in QUICK}
        side_by_side.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", QUICK)
def test_alone_an_example_prints_what_it_did(running, name):
    _, expected, tolerance = QUICK[name]
    printed, expected = running[name].result(), expected or REGRESSION
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", expected)
    numbers = [list(map(float, NUMBER.findall(text))) for text in (printed, expected)]
    assert numbers[0] == pytest.approx(numbers[1], abs=tolerance)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("regression.py", ""),
        pytest.param("gpt.py", "--local-steps 4", marks=pytest.mark.experiments),
        pytest.param("gpt.py", "", marks=pytest.mark.experiments),
        pytest.param("lightning_lenet.py", "", marks=pytest.mark.experiments),
        pytest.param("resnet.py", "", marks=pytest.mark.experiments),
    ],
)
def test_two_workers_run_an_example_to_its_end(name, more):
    lines = []
    settings = f"{QUICK[name][0]} {more}".split()
    launch(
        Launch(script=EXAMPLES / name, arguments=settings, workers=2),
        echo=lambda worker, line: lines.append((worker, NUMBER.sub("#", line))),
    )
    last = (QUICK[name][1] or REGRESSION).splitlines()[-1]
    assert {(worker, NUMBER.sub("#", last)) for worker in (0, 1)} <= set(lines)


def test_the_readme_shows_the_changed_lines():
    before, after = (
        (EXAMPLES / n).read_text().splitlines() for n in ("lenet.py", "lenet_lagrad.py")
    )
    changed = [
        line
        for line in difflib.unified_diff(before, after, n=0, lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    ]
    assert "```diff\n" + "\n".join(changed) + "\n```" in (ROOT / "README.md").read_text()
