"""Many runs full of faults in virtual time: nothing lost, nothing twice, all at their target."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import soak_runs
from lagrad.core import Outcome


def soak(seeds):
    """Run them; what became of all pushes, and how often each kind of fault struck."""
    verdicts, struck = Counter(), Counter()
    for seed in seeds:
        outcome = soak_runs.run(seed)
        # In a short run a fault with a small probability may not strike, which the audit says.
        others = [words for words in outcome.violations if "did not happen" not in words]
        assert not others, (seed, others)
        assert outcome.result.reached, (seed, outcome.result.summary())
        verdicts.update(outcome.result.verdicts)
        struck.update(outcome.struck)
    return verdicts, struck


def test_a_short_soak():
    verdicts, struck = soak(range(11))  # every policy once
    assert set(struck) >= {"kill", "slow", "drop", "duplicate", "nan"}
    assert verdicts[Outcome.DUPLICATE] == struck["duplicate"]


def test_the_same_run_again_is_the_same():
    one, two = soak_runs.run(5), soak_runs.run(5)
    assert one.result.trace_sha256 == two.result.trace_sha256


@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_a_long_soak(capsys):
    runs = 520
    verdicts, struck = soak(range(runs))
    with capsys.disabled():
        print(
            f"\n{runs} runs reached their target and were proved; pushes: "
            f"{dict(verdicts)}; faults: {dict(struck)}"
        )


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("runtime", "updates"), [("simulator", 1_000_000), ("local", 50_000)])
def test_memory_and_descriptors_stay_flat(runtime, updates, capsys):
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / "flat_runs.py", runtime, str(updates)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])},
        check=True,
    )
    told = json.loads(done.stdout)
    early, _, late = told["rows"]
    with capsys.disabled():
        print(f"\n{runtime}: {told}")
    assert late["resident"] - early["resident"] < 32 << 20, "in bytes, whatever the length"
    assert late["workers"] - early["workers"] < 32 << 20
    assert late["descriptors"] <= early["descriptors"]
