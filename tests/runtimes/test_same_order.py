"""A simulation that is given the order of a local run's events computes the local run's bits."""

import pytest

import small_tasks
from lagrad import policies, rules, train
from lagrad.delays import Factors, Recorded
from lagrad.runtimes import Local, Simulator, Until
from lagrad.trace import Judged, Pushed, Sent, job_durations, read_trace

WORKERS, UPDATES = 3, 60
#: Of jobs that were under way when the local run ended; in the simulation they never end either.
FOREVER_S = 1e9


def course(out) -> list:
    """Who was sent and pushed what, in order, and what became of it; all but the clock."""
    found = []
    for record in read_trace(out / "trace.jsonl"):
        if isinstance(record, Sent | Judged):
            found.append(record)
        elif isinstance(record, Pushed):
            found.append(
                (record.worker, record.sequence, record.version, record.lease, record.loss)
            )
    return found


@pytest.mark.parametrize(
    "policy", [policies.Asynchronous(), policies.BoundedStaleness(2)], ids=repr
)
def test_an_asynchronous_local_run_and_its_simulation_agree_to_the_bit(policy, tmp_path):
    options = {
        "task": small_tasks.with_batch_norm,
        "rule": rules.DynamicMomentum(lr=0.02, lookahead=rules.RollForward()),
        "policy": policy,
        "workers": WORKERS,
        "until": Until(updates=UPDATES),
    }
    local = train(
        **options,
        runtime=Local(seconds_per_job=0.004),
        delays=Factors(((0, 5.0),)),
        out=tmp_path / "local",
    )
    durations = job_durations(tmp_path / "local" / "trace.jsonl")
    durations += ((),) * (WORKERS - len(durations))
    # The measured jobs put the pushes in the measured order: rounding moves them by far less than
    # the microseconds between two messages.
    simulated = train(
        **options,
        runtime=Simulator(),
        delays=Recorded(tuple((*each, FOREVER_S) for each in durations)),
        out=tmp_path / "simulated",
    )
    assert local.mean_staleness > 0.5, "an order that a synchronous run could not have"
    assert course(tmp_path / "simulated") == course(tmp_path / "local")
    assert simulated.digest == local.digest
