"""Real runs full of faults: nothing lost, nothing twice, no hang, all at their target."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

import fault_runs


def check(outcomes) -> Counter[str]:
    """No run has broken a promise; what went wrong in them, counted."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        assert not outcome.violations, (outcome.seed, outcome.violations)
        counts += outcome.counts
    return counts


@pytest.mark.parametrize("seed", [14])
def test_a_real_run_full_of_faults(tmp_path, seed):
    counts = check([fault_runs.run(seed, tmp_path)])
    assert counts["kill"]
    assert counts["drop"]


@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_many_real_runs_full_of_faults(tmp_path, capsys):
    runs = int(os.environ.get("LAGRAD_TEST_FAULT_RUNS", "100"))

    def one(seed):
        folder = tmp_path / str(seed)
        folder.mkdir()
        return fault_runs.run(seed, folder)

    with ThreadPoolExecutor(2) as side_by_side:
        counts = check(side_by_side.map(one, range(runs)))
    with capsys.disabled():
        print(f"\n{runs} real runs reached their target and were proved: {dict(counts)}")
