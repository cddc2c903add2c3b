"""The first of the changed lines."""

import os

from ._alone import Alone
from ._joined import KEY, LIFE, SERVER, WORKER, Joined
from ._link import Link
from ._session import Session

_joined: list[int] = []


def join() -> Session:
    """Take this process into the run that started it; without one, the script trains alone.

    Call it once, in the main process. Under `lagrad run` the session is one of several workers
    that train one model; under plain `python` it is ordinary training in this process, with the
    same rule. Seed of a run alone: 0.
    Raises: RuntimeError at a second call.
    """
    if _joined == [os.getpid()]:
        raise RuntimeError("Expected one lagrad.join() in a process, got another; keep the first.")
    _joined[:] = [os.getpid()]
    link: Link = Joined(os.environ) if SERVER in os.environ else Alone(seed=0)
    for name in (SERVER, KEY, WORKER, LIFE):  # processes that the script starts are no workers
        os.environ.pop(name, None)
    return Session(link)
