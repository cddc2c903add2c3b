"""A run goes on from its folder, from the newest checkpoint that can be relied on."""

import dataclasses
from pathlib import Path
from typing import Any

from lagrad.core import Policy, Rule
from lagrad.delays import Delays
from lagrad.runtimes import Folder, Observer, Result, Until, left_in, rehearse, require_idle
from lagrad.tasks import Differentiator, Task

from ._configuration import read_configuration, read_saved, require_files, until_as_text
from ._train import Prepared


def resume(
    run: Path | str,
    *,
    until: Until | None = None,
    task: Task | None = None,
    rule: Rule | None = None,
    policy: Policy | None = None,
    delays: Delays | None = None,
    observe: Observer | None = None,
) -> Result:
    """Go on with a run that was interrupted, has crashed, or came to its end.

    In the simulator the run is the one that was never interrupted, to the bit. Local workers begin
    anew: what they were computing is computed again. Trace and metrics go on in the same files.
    run: its folder. until: other budgets and target, None for those it had.
    task, rule, policy, delays: of a run that was given objects of the user's own instead of what
    lagrad has names for. observe: see `train`.
    Warns: UserWarning naming each checkpoint that is refused. Raises: ValueError before anything is
    changed if the folder holds no run that can go on.

    >>> import tempfile
    >>> from lagrad import runtimes, train
    >>> out = tempfile.mkdtemp()
    >>> first = train("parabola", runtime=runtimes.Simulator(), until=Until(updates=50), out=out)
    >>> resume(out, until=Until(updates=80)).updates
    80
    """
    given: dict[str, Any] = {"task": task, "rule": rule, "policy": policy, "delays": delays}
    return prepare_resume(Path(run), until=until, **given).run(observe)


def prepare_resume(
    run: Path, *, until: Until | None = None, died_at: float | None = None, **given: Any
) -> Prepared:
    """Check what `resume` needs, and open the folder. Arguments and errors as of `resume`.

    died_at: when the run's process died, by `time.monotonic`, so that its clock goes on; None for
    a run that has been left alone.
    """
    require_files(run, "config.json", "trace.jsonl", "metrics.jsonl")
    how = read_saved(run / "config.json").resume
    if how is not None and how.launch is not None:
        raise ValueError(
            f"Expected a run of a task, got {run}, whose workers are scripts; "
            f"`lagrad run --resume {run}` goes on with it."
        )
    runtime = None if how is None else how.runtime()
    if how is None or runtime is None:
        raise ValueError(
            f"Expected a run that keeps checkpoints, got {run}, which keeps none; start it anew."
        )
    require_idle(run)
    setup = read_configuration(run / "config.json", **given)
    if callable(require := getattr(runtime, "require", None)):
        require(setup, how.keeping)
    if until is not None:
        setup = dataclasses.replace(setup, until=until)
    if died_at is None:
        differentiator = rehearse(setup, pickles=runtime.needs_pickling)
    else:  # it has been rehearsed, and time is short
        differentiator = Differentiator(setup.task, setup.seed)
    folder = Folder.reopen(run, left_in(run, died_at=died_at), keeping=how.keeping)
    if until is not None:
        folder.amend_config(until=until_as_text(until))
    return Prepared(setup, runtime, folder, differentiator)
