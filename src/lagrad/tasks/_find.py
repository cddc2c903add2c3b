"""A task by its name: a built-in one, or the user's own as `module:name`."""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from ._lenet import lenet_mnist
from ._quadratic import parabola, quadratic
from ._softmax import softmax_mnist
from ._task import Task

BUILT_IN: dict[str, Callable[..., Task]] = {
    "parabola": parabola,
    "quadratic": quadratic,
    "softmax-mnist": softmax_mnist,
    "lenet-mnist": lenet_mnist,
}


def find(name: str, **arguments: Any) -> Task:
    """The task called `name`: one of `BUILT_IN`, or `module:name` of the user's own.

    The user's is a `Task`, or a function that returns one; its module may lie in the current
    folder, which is then put on the import path (and stays, for workers to import from).
    arguments: passed to the function.
    Raises: ValueError if there is no such task, with the names that come near, if it is none, or
    does not take the arguments. What the user's own code raises passes through.

    >>> find("quadratic", dimension=3).name
    'quadratic'
    """
    if ":" not in name:
        if name not in BUILT_IN:
            raise ValueError(
                f"Expected a task out of {', '.join(BUILT_IN)}, or module:name of your own, "
                f"got {name!r}{_near(name, BUILT_IN)}; `lagrad list tasks` describes them."
            )
        return _made_by(BUILT_IN[name], name, arguments)
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ValueError(f"Expected module:name, got {name!r}; for instance my_tasks:resnet.")
    module = _import(module_name, name)
    if not hasattr(module, attribute):
        public = [other for other in vars(module) if not other.startswith("_")]
        raise ValueError(
            f"Expected {attribute!r} in module {module_name!r} ({module.__file__}), got no such "
            f"name{_near(attribute, public)}; define it there, or give another name."
        )
    found = getattr(module, attribute)
    if isinstance(found, Task):
        if arguments:
            raise ValueError(
                f"Expected no arguments for {name!r}, which is a Task already, got "
                f"{', '.join(arguments)}; make it a function that returns a Task."
            )
        return found
    if not callable(found):
        raise ValueError(
            f"Expected {name!r} to be a Task or a function that returns one, got "
            f"{type(found).__name__}; give the name of one."
        )
    return _made_by(found, name, arguments)


def _import(module_name: str, name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    # The folder may have changed since the interpreter last listed it.
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name != missing and not module_name.startswith(f"{missing}."):
            raise  # the module is there; something that it imports is not
        raise ValueError(
            f"Expected a module {module_name!r} for the task {name!r}, got none in {here} nor "
            "among the installed packages; run from the folder that holds it."
        ) from error


def _made_by(factory: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Task:
    signature = inspect.signature(factory)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        wrong = next((a for a in arguments if a not in signature.parameters), "")
        raise ValueError(
            f"Expected arguments of {name!r} as in {signature}, got {arguments} "
            f"({error}){_near(wrong, signature.parameters)}; give what it takes."
        ) from error
    task = factory(**arguments)
    if not isinstance(task, Task):
        raise ValueError(
            f"Expected {name!r} to return a Task, got {type(task).__name__}; make it return one."
        )
    return task


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=3)
    return f"; near: {', '.join(near)}" if near else ""
