"""A script's process that hangs is ended, one that is asked to leave is missed by nobody."""

import pytest

import small_scripts
from lagrad import audit, specs
from lagrad.runtimes import Stopped
from lagrad.sessions import Launch, launch


def run(path, out, *faults, **terms):
    chaos = tuple(specs.parse("fault", fault) for fault in faults)
    return launch(
        Launch(script=path, workers=2, out=out, chaos=chaos, seconds_per_job=0.003, **terms),
        echo=lambda worker, line: None,
    )


@pytest.mark.experiments
def test_the_server_waits_where_one_hangs_and_the_other_is_asked_to_leave(tmp_path):
    """Who hangs is started again and does the rest; for who left, the end is not kept waiting."""
    out = tmp_path / "run"
    asked = "session.worker and epoch and os.kill(os.getpid(), 15)"
    path = small_scripts.write(tmp_path, epochs="40", inside=asked)
    result = run(path, out, "pause:worker=0,at=0.1,for=600", hung_after=3.0, restarts=1)
    assert (result.stopped, result.epochs) == (Stopped.ENDED, 40)
    hung, alone = result.failures
    assert hung.startswith("Worker 0: no sign of life for")
    assert "it hung and was ended" in hung
    assert alone.startswith("No worker was there for")
    assert [tally.preemptions for tally in result.workers] == [0, 1]
    assert not result.given_up
    found = audit(out)
    assert found.holds, [promise.violations for promise in found.promises]


def test_who_has_ended_and_lets_go_of_much_does_not_hang(tmp_path):
    """Python runs no threads any more, beats among them, where it takes its modules apart."""
    slow = "slow = type('Slow', (), {'__del__': lambda self, wait=time.sleep: wait(2.5)})()"
    result = run(small_scripts.write(tmp_path, scores=slow), None, hung_after=1.0)
    assert (result.stopped, result.failures) == (Stopped.ENDED, ())


@pytest.mark.parametrize("terms", [{"restarts": -1}, {"hung_after": 0.5}])
def test_numbers_that_do_not_fit_are_refused(tmp_path, terms):
    with pytest.raises(ValueError, match="Expected"):
        Launch(script=small_scripts.write(tmp_path), **terms)
