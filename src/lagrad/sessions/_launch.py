"""`lagrad run`: a server in this process, and a script in several others."""

from collections.abc import Callable

from lagrad.runtimes import Observer, Result, RunFailed, shortage

from ._company import Company
from ._terms import Launch


def launch(
    terms: Launch, *, echo: Callable[[int, str], None], observe: Observer | None = None
) -> Result:
    """Run a script in several processes that train one model.

    echo: gets each line that a worker's process prints, with its number. observe: see `train`.
    Returns: the result, when every process has ended.
    Raises: RunFailed if no process trained to its end, or their models differ.
    """
    try:
        company = Company(terms, echo, observe)
        try:
            return company.go()
        finally:
            company.disband()
    except (OSError, RuntimeError) as error:  # before there was a run with books to close
        words = shortage(error)
        if words is None:
            raise
        raise RunFailed(words) from error
