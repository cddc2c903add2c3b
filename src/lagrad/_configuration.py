"""A run's configuration as text, and back: what `config.json` holds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lagrad import runtimes, specs
from lagrad.core import BufferPolicy, Policy, Rule
from lagrad.delays import Delays
from lagrad.runtimes import Replayed, Setup, Until
from lagrad.tasks import Task, find


def find_task(text: str) -> Task:
    """A task by specification, `lenet-mnist:batch_size=128`, or by dotted path, `module:name`.

    Raises: ValueError naming the near names of an unknown one.
    """
    name = text.split(":", 1)[0].split("(", 1)[0].strip()
    if ":" in text and name not in specs.catalogue("task"):
        return find(text)
    task = specs.parse("task", text)
    assert isinstance(task, Task)
    return task


def configuration(setup: Setup, *, task: str | None, runtime: object) -> dict[str, Any]:
    """All of a setup as JSON, by specifications that `read_configuration` turns back.

    task: its specification, or None for a task that was given as an object. What no specification
    turns back, a rule of the user's own, is None with its repr beside it.
    """
    until = setup.until
    return {
        "task": task,
        "task_name": setup.task.name,
        **_described("rule", setup.rule),
        **_described("policy", setup.policy),
        "workers": setup.workers,
        "until": {
            "updates": until.updates,
            "seconds": until.seconds,
            "epochs": until.epochs,
            "target": None if until.goal is None else str(until.goal),
        },
        "seed": setup.seed,
        **_described("delays", setup.delays),
        "ema": setup.ema,
        "buffers": setup.buffers.value,
        "release_dropped": setup.release_dropped,
        "evaluate_every": setup.evaluate_every,
        "runtime": repr(runtime),
    }


def _described(kind: str, thing: object) -> dict[str, str | None]:
    text = specs.describe(thing)
    try:
        if specs.parse(kind, text) == thing:
            return {kind: text}
    except ValueError:
        pass
    return {kind: None, f"{kind}_name": repr(thing)}


def read_configuration(path: Path, **given: Any) -> Setup:
    """The setup of a run's `config.json`.

    given: task, rule, policy, delays of runs that were given objects which no specification says.
    Raises: ValueError if such a run is read without them.
    """
    config = json.loads(path.read_text())

    def thing(kind: str) -> Any:
        if given.get(kind) is not None:
            return given[kind]
        if config[kind] is None:
            raise ValueError(
                f"The run was given the {kind} {config[f'{kind}_name']!r} as an object, in no "
                f"file; pass it again: lagrad.replay(run, {kind}=...)."
            )
        return find_task(config[kind]) if kind == "task" else specs.parse(kind, config[kind])

    return Setup(
        task=thing("task"),
        rule=thing("rule"),
        policy=thing("policy"),
        workers=config["workers"],
        until=Until(**config["until"]),
        seed=config["seed"],
        delays=thing("delays"),
        ema=config["ema"],
        buffers=BufferPolicy(config["buffers"]),
        release_dropped=config["release_dropped"],
        evaluate_every=config["evaluate_every"],
    )


def replay(
    run: Path | str,
    *,
    task: Task | None = None,
    rule: Rule | None = None,
    policy: Policy | None = None,
    delays: Delays | None = None,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Recompute a run from its folder and compare every answer and the final parameters.

    run: the folder. task, rule, policy, delays: of a run that was given objects of the user's own
    instead of what lagrad has names for.
    progress: called with the number of events so far.
    Raises: ValueError if the folder is none of a run, or its trace is damaged.
    """
    folder = Path(run)
    config, trace = folder / "config.json", folder / "trace.jsonl"
    if not config.is_file() or not trace.is_file():
        raise ValueError(
            f"Expected the folder of a run, with config.json and trace.jsonl, got {folder}."
        )
    setup = read_configuration(config, task=task, rule=rule, policy=policy, delays=delays)
    return runtimes.replay(setup, trace, progress=progress)
