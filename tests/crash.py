"""The process of a run dies, as it were, in the midst of it."""

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from lagrad import resume
from lagrad.runtimes import Durability, Keeping, Result, Run
from lagrad.runtimes._keeper import Keeper
from lagrad.tasks import Task
from lagrad.trace import Joined
from proved import prove


class Crashed(Exception):  # noqa: N818 -- what happened
    pass


@contextlib.contextmanager
def crash_at(events: int):
    """The process dies, as it were, with its event of this number."""
    count, handle = itertools.count(1), Run.handle

    def dying(run, event):
        if next(count) == events:
            raise Crashed
        return handle(run, event)

    def dying_at_once(run, pushes, values):
        for _ in range(2 * len(pushes)):  # and as many pulls
            if next(count) == events:
                raise Crashed
        return exchange(run, pushes, values)

    exchange = Run.exchange
    with (
        patch.object(Run, "handle", dying),
        patch.object(Run, "exchange", dying_at_once),
        contextlib.suppress(Crashed),
    ):
        yield


def one_checkpoint_for_each_event():
    """However slow the disk is, none is passed over."""
    return patch.object(Keeper, "keep_time", Keeper._keep)


def proved_after_death(
    begin: Callable[..., object], out: Path, task: Task, durability: str
) -> Result:
    """A run dies, and another process goes on with it: the result, of a run that is proved.

    begin: starts the run in `out`, with the keeping it is given.
    """
    every_step = durability == "every-step"
    keeping = Keeping(Durability(durability), every=1e6 if every_step else 0.0)
    each = contextlib.nullcontext() if every_step else one_checkpoint_for_each_event()
    with crash_at(60), each:
        begin(keeping=keeping)
    before = (out / "trace.jsonl").read_bytes()
    result = resume(out, task=task)
    joins = [record for record in prove(out, task) if isinstance(record, Joined)]
    workers, lives = range(len(result.workers)), range(2)
    joined = sorted((join.worker, join.incarnation) for join in joins)
    assert joined == list(itertools.product(workers, lives))
    if every_step:
        assert (out / "trace.jsonl").read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    return result
