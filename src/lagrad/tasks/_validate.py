"""Try a task out before anything starts, and say clearly what is wrong with it."""

import math
import pickle
from dataclasses import Field, fields
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from ._data import Samples, Stream
from ._seeding import lease_seed, seeded


class Recipes(Protocol):
    """A `Task`, as far as it is trusted before it has been tried."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def batch_size(self) -> int:
        """Samples per gradient."""
        ...


def validate(task: Recipes, *, pickles: bool = True) -> None:
    """See `Task.validate`."""
    check_recipes(task, pickles=pickles)
    try_out(task, *build_checked(task, 0))


def check_recipes(task: Recipes, *, pickles: bool) -> None:
    """Check what can be known before anything is built; errors as of `Task.validate`."""
    _check_batch_size(task)
    if pickles:
        _check_pickles(task)


def build_checked(task: Recipes, seed: int) -> tuple[nn.Module, Samples | Stream]:
    """The model, a function of (task, seed), and the data; errors as of `Task.validate`."""
    data = _check_data(task)
    with seeded(seed):
        return _check_model(task), data


def try_out(task: Recipes, model: nn.Module, data: Samples | Stream) -> None:
    """Compute one gradient on the first batch; errors as of `Task.validate`.

    The model keeps the gradient, and what the forward pass left in its buffers.
    """
    with seeded(lease_seed(0, 0)):
        _check_loss(task, model, _first_batch(task, data))


def _check_batch_size(task: Recipes) -> None:
    size: object = task.batch_size
    if not isinstance(size, int) or isinstance(size, bool):
        raise TypeError(f"{_of(task)}: expected batch_size to be an int, got {size!r}; round it.")
    if size < 1:
        raise ValueError(f"{_of(task)}: expected batch_size >= 1, got {size}; raise it.")


def _check_pickles(task: Recipes) -> None:
    for field in fields(task):
        value = getattr(task, field.name)
        try:
            pickle.dumps(value)
        except Exception as error:  # pickle raises whatever a custom __reduce__ does
            raise TypeError(
                f"{_of(task)}: expected `{field.name}` to pickle, so that workers can receive it, "
                f"got {value!r} ({error}); {_how_to_pickle(value)}"
            ) from error


def _how_to_pickle(value: object) -> str:
    if getattr(value, "__module__", None) == "__main__":
        return (
            "it was defined interactively or in the script itself: put it at the top level of a "
            "module of its own, and import it from there."
        )
    return (
        "define it at the top level of a module (no lambda, no function inside a function); "
        "give it arguments with functools.partial."
    )


def _check_data(task: Recipes) -> Samples | Stream:
    data: object = _call(task, "data")
    if isinstance(data, Stream):
        if task.batch_size != 1:
            raise ValueError(
                f"{_of(task)}: expected batch_size 1 with a Stream, got {task.batch_size}; "
                "each lease is one batch, whose size `draw` decides."
            )
        return data
    if not isinstance(data, Samples):
        raise TypeError(
            f"{_of(task)}: expected `data` to return Samples or Stream, got "
            f"{type(data).__name__}; wrap finite data as Samples(dataset)."
        )
    if len(data) == 0:
        raise ValueError(f"{_of(task)}: expected samples, got an empty data set; check its path.")
    if len(data) < task.batch_size:
        raise ValueError(
            f"{_of(task)}: expected at least one batch of {task.batch_size} samples, got "
            f"{len(data)} samples in all; lower batch_size."
        )
    return data


def _check_model(task: Recipes) -> nn.Module:
    model: object = _call(task, "model")
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{_of(task)}: expected `model` to return an nn.Module, got {type(model).__name__}; "
            "pass a function that builds the model."
        )
    parameters = list(model.parameters())
    if any(isinstance(p, nn.UninitializedParameter) for p in parameters):
        raise ValueError(
            f"{_of(task)}: expected parameters with shapes, got a lazy module; "
            "run it once on a dummy batch inside `model`."
        )
    if not any(p.requires_grad for p in parameters):
        raise ValueError(
            f"{_of(task)}: expected a model with trainable parameters, got "
            f"{type(model).__name__} with none; check requires_grad."
        )
    return model


def _first_batch(task: Recipes, data: Samples | Stream) -> Any:
    try:
        if isinstance(data, Samples):
            return data.batch(torch.arange(task.batch_size))
        return data.draw(torch.Generator().manual_seed(0))
    except Exception as error:
        error.add_note(f"While drawing the first batch of {_of(task)}.")
        raise


def _check_loss(task: Recipes, model: nn.Module, batch: object) -> None:
    loss: object = _call(task, "loss", model.train(), batch)
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"{_of(task)}: expected `loss` to return a scalar tensor, got {type(loss).__name__}; "
            "do not call .item() on it."
        )
    if loss.shape != ():
        raise ValueError(
            f"{_of(task)}: expected `loss` to return a scalar, got shape {tuple(loss.shape)}; "
            "take the mean over the batch."
        )
    if not loss.requires_grad:
        raise ValueError(
            f"{_of(task)}: expected `loss` to depend on trainable parameters, got a constant; "
            "check for detach(), no_grad() or a frozen model."
        )
    if not math.isfinite(loss.item()):
        raise ValueError(
            f"{_of(task)}: expected a finite loss at the start, got {loss.item()}; "
            "check the data and the initial parameters."
        )
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        error.add_note(f"In the backward pass of {_of(task)}.")
        raise


def _call(task: Recipes, name: str, *arguments: object) -> Any:
    recipe = getattr(task, name)
    if not callable(recipe):
        raise TypeError(
            f"{_of(task)}: expected `{name}` to be a function, got {type(recipe).__name__}; "
            "pass the function that makes it, not what it makes."
        )
    try:
        return recipe(*arguments)
    except Exception as error:
        error.add_note(f"In `{name}` of {_of(task)}.")
        raise


def _of(task: Recipes) -> str:
    return f"task {task.name!r}"
