"""A policy that lets nobody go ends the run instead of hanging it."""

import json
from dataclasses import dataclass

import pytest

import small_tasks
from lagrad import train
from lagrad.policies import Asynchronous
from lagrad.runtimes import Local, Simulator, Until
from lagrad.trace import read_trace


@dataclass(frozen=True)
class Stubborn(Asynchronous):
    """Everyone gets one lease and no more."""

    def may_pull(self, worker, ledger):
        return not ledger.members[worker].takes_part


@pytest.mark.parametrize("runtime", [Simulator(), Local()], ids=repr)
def test_a_policy_that_holds_everyone_is_named(runtime, tmp_path):
    with pytest.raises(RuntimeError, match=r"holds every worker.*Stubborn"):
        train(
            small_tasks.blobs,
            policy=Stubborn(),
            runtime=runtime,
            workers=2,
            until=Until(updates=100),
            out=tmp_path,
        )
    *_, last = read_trace(tmp_path / "trace.jsonl")
    assert last.stopped == "failed"
    assert json.loads((tmp_path / "result.json").read_text())["stopped"] == "failed"
