"""Many runs full of faults in virtual time: nothing lost, nothing twice, all at their target."""

from collections import Counter

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
