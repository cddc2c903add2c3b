"""The process of a run dies, as it were, in the midst of it."""

import contextlib
import itertools
from unittest.mock import patch

from lagrad.runtimes import Run
from lagrad.runtimes._keeper import Keeper


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

    with patch.object(Run, "handle", dying), contextlib.suppress(Crashed):
        yield


def one_checkpoint_for_each_event():
    """However slow the disk is, none is passed over."""
    return patch.object(Keeper, "keep_time", Keeper._keep)
