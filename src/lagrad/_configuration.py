"""A run's configuration as text, and back: what `config.json` holds."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lagrad import specs
from lagrad.core import BufferPolicy, Unreadable, decoded
from lagrad.runtimes import Keeping, Local, Ray, Setup, Simulator, Until
from lagrad.tasks import Task, find

_T = TypeVar("_T")


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


def configuration(
    setup: Setup,
    *,
    task: str | None,
    runtime: object,
    keeping: Keeping | None = None,
    launch: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """All of a setup as JSON, by specifications that `read_configuration` turns back.

    task: its specification, or None for a task that was given as an object. What no specification
    turns back, a rule of the user's own, is None with its repr beside it. launch: how the scripts
    of a run are started again, as JSON; None for a run without.
    """
    return {
        "task": task,
        "task_name": setup.task.name,
        **_described("rule", setup.rule),
        **_described("policy", setup.policy),
        "workers": setup.workers,
        "until": until_as_text(setup.until),
        "seed": setup.seed,
        **_described("delays", setup.delays),
        "ema": setup.ema,
        "buffers": setup.buffers.value,
        "release_dropped": setup.release_dropped,
        "evaluate_every": setup.evaluate_every,
        "chaos": [specs.describe(fault) for fault in setup.chaos],
        "guard": specs.describe(setup.guard),
        "runtime": repr(runtime),
        **_resumable(runtime, keeping, launch),
        "compression": getattr(runtime, "compression", None),
        "device": getattr(runtime, "device", "cpu"),
    }


def until_as_text(until: Until) -> dict[str, Any]:
    """Budgets and target as JSON."""
    return {
        "updates": until.updates,
        "seconds": until.seconds,
        "epochs": until.epochs,
        "target": None if until.goal is None else str(until.goal),
    }


def _resumable(
    runtime: object, keeping: Keeping | None, launch: dict[str, Any] | None
) -> dict[str, Any]:
    """What only a run that goes on must know."""
    if launch is not None:
        how = {"launch": launch}
    elif isinstance(runtime, Local | Simulator | Ray):
        how = {type(runtime).__name__.lower(): msgspec.to_builtins(runtime)}
    else:
        return {}
    if keeping is None:
        return {}
    return {"resume": {**how, "keeping": msgspec.to_builtins(keeping)}}


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
    Raises: ValueError if such a run is read without them, or if the file is damaged.
    """
    saved = read_saved(path)

    def thing(kind: str) -> Any:
        if given.get(kind) is not None:
            return given[kind]
        text = getattr(saved, kind)
        if text is None:
            raise ValueError(
                f"The run was given the {kind} {getattr(saved, f'{kind}_name')!r} in a script or "
                f"as an object; pass it again: lagrad.replay(run, {kind}=...)."
            )
        return find_task(text) if kind == "task" else specs.parse(kind, text)

    return Setup(
        task=thing("task"),
        rule=thing("rule"),
        policy=thing("policy"),
        workers=saved.workers,
        until=saved.until,
        seed=saved.seed,
        delays=thing("delays"),
        ema=saved.ema,
        buffers=saved.buffers,
        release_dropped=saved.release_dropped,
        evaluate_every=saved.evaluate_every,
        chaos=tuple(specs.parse("fault", text) for text in saved.chaos),
        guard=specs.parse("guard", saved.guard),
    )


class Resume(msgspec.Struct, kw_only=True):
    """How a run goes on: one of the runtimes, or of scripts, and its checkpoints.

    ray: the arguments of `Ray`, which is made where its packages are needed.
    """

    local: Local | None = None
    simulator: Simulator | None = None
    ray: dict[str, Any] | None = None
    launch: dict[str, Any] | None = None
    keeping: Keeping

    def runtime(self) -> Local | Simulator | Ray | None:
        """The runtime; None for none that is known. Raises: ValueError for what it refuses."""
        if self.ray is not None:
            return _converted(self.ray, Ray)
        return self.local or self.simulator


class Saved(msgspec.Struct, kw_only=True):
    """What `configuration` wrote, in its types."""

    task: str | None
    task_name: str
    rule: str | None
    rule_name: str = ""
    policy: str | None
    policy_name: str = ""
    workers: int
    until: Until
    seed: int
    delays: str | None
    delays_name: str = ""
    ema: float | None
    buffers: BufferPolicy
    release_dropped: bool
    evaluate_every: float
    compression: str | None = None
    device: str = "cpu"
    chaos: tuple[str, ...] = ()
    guard: str = "guard"
    resume: Resume | None = None


def require_files(run: Path, *names: str) -> None:
    """Refuse, by a ValueError, a folder without these files of a run."""
    missing = [name for name in names if not (run / name).is_file()]
    if missing:
        raise ValueError(
            f"Expected the folder of a run, with {', '.join(names)}, got {run} "
            f"without {', '.join(missing)}; give the folder that `--out` named."
        )


def read_saved(path: Path) -> Saved:
    """The content of a `config.json`. Raises: ValueError naming the file and what is wrong."""
    return _decoded(path.read_bytes(), Saved, str(path))


def _converted(given: dict[str, Any], kind: type[_T]) -> _T:
    try:
        return decoded(lambda content: msgspec.convert(content, kind), given)
    except Unreadable as error:
        raise ValueError(
            f"Expected the arguments of {kind.__name__} in config.json, got {given} ({error}); "
            "restore the file or run anew."
        ) from error


def _decoded(content: bytes, kind: type[_T], what: str) -> _T:
    try:
        return decoded(msgspec.json.Decoder(kind).decode, content)
    except Unreadable as error:
        raise ValueError(
            f"Expected {what} as a run of this version writes it, got something else ({error}); "
            "restore the file or run anew."
        ) from error
