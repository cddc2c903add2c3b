"""A run may have several lives: what may be lost between them, and be said anew of it."""

import json
from enum import StrEnum
from pathlib import Path

import typer


class DurabilityName(StrEnum):
    """What may be lost when the server dies: all, what came after a checkpoint, or nothing."""

    none = "none"
    interval = "interval"
    every_step = "every-step"


#: What may be said anew of a run that goes on.
_ANEW = {"resume", "updates", "seconds", "epochs", "target", "as_json"}


def refuse_others(context: typer.Context) -> None:
    """A run that goes on is as it was set up."""
    given = [name for name in context.params if name not in _ANEW and _said(context, name)]
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ValueError(
            f"Expected nothing but budgets or a target with --resume, got {options}; "
            "a run goes on as it was set up, so leave them out or start another one."
        )


def _said(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def was(run: Path, kind: str) -> bool:
    """Whether a run that can go on is of a kind, "local", "ray" or "launch"."""
    try:
        return kind in json.loads((run / "config.json").read_bytes())["resume"]
    except (OSError, ValueError, KeyError, TypeError):
        return False  # whoever goes on with it will say so
