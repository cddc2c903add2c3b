"""`lagrad run`: a server in this process, and a script in several others."""

from collections.abc import Callable
from dataclasses import dataclass

from lagrad.runtimes import (
    Folder,
    Observer,
    Result,
    RunFailed,
    refuse_death_of_server,
    shortage,
)

from ._company import Company
from ._messages import Begun
from ._terms import Launch


@dataclass(frozen=True)
class Prepared:
    """A run whose terms have been found sound; nothing has been started but its folder.

    begun: what the scripts of a run that goes on train on; None for a new one.
    """

    terms: Launch
    folder: Folder | None
    begun: Begun | None = None

    def run(self, *, echo: Callable[[int, str], None], observe: Observer | None = None) -> Result:
        """Carry it out, once. Arguments and errors as of `launch`."""
        try:
            company = Company(self.terms, echo, observe, folder=self.folder, begun=self.begun)
            try:
                return company.go()
            finally:
                company.disband()
        except (OSError, RuntimeError) as error:  # before there was a run with books to close
            words = shortage(error)
            if words is None:
                raise
            raise RunFailed(words) from error
        finally:
            if self.folder is not None:
                self.folder.close()


def prepare(terms: Launch, *, supervised: bool = False) -> Prepared:
    """Check what a new run needs, and make its folder.

    supervised: whether a process stands beside this one that starts it again when it is killed.
    Raises: ValueError for a folder that holds anything, or the death of a server that nobody would
    bring back.
    """
    if not (supervised and terms.out is not None):
        refuse_death_of_server(terms.chaos)
    folder = None if terms.out is None else Folder(terms.out, keeping=terms.keeping)
    return Prepared(terms, folder)


def launch(
    terms: Launch, *, echo: Callable[[int, str], None], observe: Observer | None = None
) -> Result:
    """Run a script in several processes that train one model.

    echo: gets each line that a worker's process prints, with its number. observe: see `train`.
    Returns: the result, when every process has ended.
    Raises: RunFailed if no process trained to its end, or their models differ; as `prepare`.
    """
    return prepare(terms).run(echo=echo, observe=observe)
