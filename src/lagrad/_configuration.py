"""A run's configuration as text, and back: what `config.json` holds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lagrad import runtimes, specs
from lagrad.core import BufferPolicy
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

    task: its specification, or None for a task that was given as an object.
    """
    until = setup.until
    return {
        "task": task,
        "task_name": setup.task.name,
        "rule": specs.describe(setup.rule),
        "policy": specs.describe(setup.policy),
        "workers": setup.workers,
        "until": {
            "updates": until.updates,
            "seconds": until.seconds,
            "epochs": until.epochs,
            "target": None if until.goal is None else str(until.goal),
        },
        "seed": setup.seed,
        "delays": specs.describe(setup.delays),
        "ema": setup.ema,
        "buffers": setup.buffers.value,
        "release_dropped": setup.release_dropped,
        "evaluate_every": setup.evaluate_every,
        "runtime": repr(runtime),
    }


def read_configuration(path: Path, *, task: Task | None = None) -> Setup:
    """The setup of a run's `config.json`. task: of runs that were given a task object.

    Raises: ValueError if such a run is read without it.
    """
    config = json.loads(path.read_text())
    if task is None and config["task"] is None:
        raise ValueError(
            f"The run was given the task {config['task_name']!r} as an object, in no file; "
            "pass it again: lagrad.replay(run, task=...)."
        )
    return Setup(
        task=find_task(config["task"]) if task is None else task,
        rule=specs.parse("rule", config["rule"]),
        policy=specs.parse("policy", config["policy"]),
        workers=config["workers"],
        until=Until(**config["until"]),
        seed=config["seed"],
        delays=specs.parse("delays", config["delays"]),
        ema=config["ema"],
        buffers=BufferPolicy(config["buffers"]),
        release_dropped=config["release_dropped"],
        evaluate_every=config["evaluate_every"],
    )


def replay(
    run: Path | str, *, task: Task | None = None, progress: Callable[[int], None] | None = None
) -> Replayed:
    """Recompute a run from its folder and compare every answer and the final parameters.

    run: the folder. task: the task of a run that was given an object instead of a name.
    progress: called with the number of events so far.
    Raises: ValueError if the folder is none of a run, or its trace is damaged.
    """
    folder = Path(run)
    config, trace = folder / "config.json", folder / "trace.jsonl"
    if not config.is_file() or not trace.is_file():
        raise ValueError(
            f"Expected the folder of a run, with config.json and trace.jsonl, got {folder}."
        )
    return runtimes.replay(read_configuration(config, task=task), trace, progress=progress)
