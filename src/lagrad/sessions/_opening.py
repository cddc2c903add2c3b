"""What is to be run, once the first script has said what it trains."""

from lagrad import specs
from lagrad._configuration import configuration
from lagrad.core import BufferPolicy, Rule
from lagrad.rules import default_rule
from lagrad.runtimes import Folder, Observer, Run, Setup
from lagrad.tasks import Task

from ._groups import led
from ._kept import as_json
from ._messages import Begun, Described
from ._script_model import ScriptModel
from ._terms import ENDLESS, Launch


def rule_of(terms: Launch, described: Described) -> Rule:
    """The rule of the launch, or of the script, by the script's groups.

    Raises: ValueError for groups that do not fit it.
    """
    text = terms.rule or described.rule
    rule = specs.parse("rule", text) if text else default_rule(terms.workers)
    return led(rule, described.groups)


def setup_of(terms: Launch, described: Described, begun: Begun) -> Setup:
    """The run of a script that has asked for its first batch.

    Raises: ValueError for a budget that its batches do not know.
    """
    if terms.until is not None and terms.until.epochs is not None and not begun.num_samples:
        raise ValueError(
            f"Expected a budget of updates or seconds for batches of the script's own, got "
            f"epochs={terms.until.epochs}; or let the server share a data set, "
            "session.batches(dataset, batch_size=...)."
        )
    return Setup(
        task=Task(
            name=terms.script.stem,
            model=_elsewhere,  # type: ignore[arg-type]
            loss=_elsewhere,  # type: ignore[arg-type]
            data=_elsewhere,  # type: ignore[arg-type]
            batch_size=begun.batch_size,
        ),
        rule=rule_of(terms, described),
        policy=terms.policy,
        workers=terms.workers,
        until=terms.until or ENDLESS,
        seed=terms.seed,
        delays=terms.delays,
        chaos=terms.chaos,
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
    """The run; the configuration of a new one is written down.

    Raises: ValueError for terms that do not fit the script.
    """
    setup = setup_of(terms, trainee.described, begun)
    trainee.num_samples = begun.num_samples
    if folder is not None and folder.left is None:
        folder.config(
            configuration(
                setup,
                task=None,
                runtime=f"run {terms.script} {' '.join(terms.arguments)}".strip(),
                keeping=folder.keeping,
                launch=as_json(terms, begun),
            )
        )
    return Run(setup, trainee, folder=folder, observe=observe)


def _elsewhere(*_: object) -> object:
    raise RuntimeError("The model, its loss and its data live in the script's processes.")
