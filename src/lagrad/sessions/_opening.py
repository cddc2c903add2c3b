"""What is to be run, once the first script has said what it trains."""

from lagrad import specs
from lagrad._configuration import configuration
from lagrad.core import BufferPolicy
from lagrad.rules import default_rule
from lagrad.runtimes import Folder, Observer, Run, Setup, Until
from lagrad.tasks import Task

from ._groups import led
from ._messages import Begun, Described
from ._script_model import ScriptModel
from ._terms import Launch


def setup_of(terms: Launch, described: Described, begun: Begun) -> Setup:
    """The run of a script that has asked for its first batch.

    Raises: ValueError for a budget that its batches do not know, or groups that do not fit a rule.
    """
    if terms.until is not None and terms.until.epochs is not None and not begun.num_samples:
        raise ValueError(
            f"Expected a budget of updates or seconds for batches of the script's own, got "
            f"epochs={terms.until.epochs}; or let the server share a data set, "
            "session.batches(dataset, batch_size=...)."
        )
    text = terms.rule or described.rule
    rule = specs.parse("rule", text) if text else default_rule(terms.workers)
    return Setup(
        task=Task(
            name=terms.script.stem,
            model=_elsewhere,  # type: ignore[arg-type]
            loss=_elsewhere,  # type: ignore[arg-type]
            data=_elsewhere,  # type: ignore[arg-type]
            batch_size=begun.batch_size,
        ),
        rule=led(rule, described.groups),
        policy=terms.policy,
        workers=terms.workers,
        until=terms.until or Until(updates=2**62),  # the scripts say when
        seed=terms.seed,
        delays=terms.delays,
        ema=terms.ema,
        buffers=BufferPolicy.MEAN,
    )


def open_run(
    terms: Launch,
    trainee: ScriptModel,
    begun: Begun,
    *,
    folder: Folder | None,
    observe: Observer | None,
) -> Run:
    """The run, its configuration written down.

    Raises: ValueError for terms that do not fit the script.
    """
    setup = setup_of(terms, trainee.described, begun)
    trainee.num_samples = begun.num_samples
    if folder is not None:
        where = f"run {terms.script} {' '.join(terms.arguments)}".strip()
        folder.config(configuration(setup, task=None, runtime=where))
    return Run(setup, trainee, folder=folder, observe=observe)


def _elsewhere(*_: object) -> object:
    raise RuntimeError("The model, its loss and its data live in the script's processes.")
