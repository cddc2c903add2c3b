"""A run of scripts goes on from its folder, from the newest checkpoint that can be relied on."""

from collections.abc import Callable
from pathlib import Path

from lagrad._configuration import read_saved, require_files, until_as_text
from lagrad.runtimes import Folder, Observer, Result, Until, left_in, require_idle

from ._kept import terms_of
from ._launch import Prepared


def resume(
    run: Path | str,
    *,
    until: Until | None = None,
    echo: Callable[[int, str], None],
    observe: Observer | None = None,
) -> Result:
    """Go on with a run of scripts that was interrupted, has crashed, or came to its end.

    The scripts are started anew, and skip the epochs of `session.batches` that are done; what they
    were computing is computed again. Trace and metrics go on in the same files.
    run: its folder. until: other budgets and target, None for those it had. echo, observe: see
    `launch`.
    Warns: UserWarning naming each checkpoint that is refused. Raises: ValueError before anything is
    changed if the folder holds no run that can go on; RunFailed as `launch`, and for a script that
    trains something else than before.
    """
    return prepare_resume(Path(run), until=until).run(echo=echo, observe=observe)


def prepare_resume(
    run: Path, *, until: Until | None = None, died_at: float | None = None
) -> Prepared:
    """Check what `resume` needs, and open the folder. Arguments and errors as of `resume`.

    died_at: when the run's process died, by `time.monotonic`, so that its clock goes on; None for
    a run that has been left alone.
    """
    require_files(run, "config.json", "trace.jsonl", "metrics.jsonl")
    require_idle(run)
    saved = read_saved(run / "config.json")
    terms, begun = terms_of(run, saved, until=until)
    folder = Folder.reopen(run, left_in(run, died_at=died_at), keeping=terms.keeping)
    if until is not None:
        folder.amend_config(until=until_as_text(until))
    return Prepared(terms, folder, begun)
