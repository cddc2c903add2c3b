"""What a command that fails says, and its exit code."""

import dis
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NoReturn

import typer

from ._codes import FAILED, INTERRUPTED, USAGE


@contextmanager
def usage_errors() -> Iterator[None]:
    """Bad input ends with its message and code 2, a file that cannot be had with code 1.

    Whatever else is raised keeps its traceback, and ends with code 1. Warnings take a line each.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: typer.echo(
                f"Warning: {message}", err=True
            )
            yield
    except (ValueError, TypeError) as error:
        if not _ours(error):
            raise
        _die(error, USAGE)
    except OSError as error:
        if not _within(error):
            raise
        _die(error, FAILED)


@contextmanager
def failures() -> Iterator[None]:
    """A run that cannot go on ends with its words and code 1; a bug keeps its traceback."""
    from lagrad.runtimes import RunFailed

    try:
        yield
    except (RunFailed, OSError) as error:
        if not _within(error):
            raise
        _die(error, FAILED)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _ours(error: BaseException) -> bool:
    """Whether lagrad itself raised the error on purpose: by a `raise`, asked by lagrad alone."""
    *_, last = _frames(error)
    purpose = last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return purpose and _package(last) == "lagrad" and _within(error)


def _within(error: BaseException) -> bool:
    """Whether no code of the user's, whose place a traceback would tell, led to the error."""
    return all(
        _package(frame) == "lagrad" or _package(frame) in sys.stdlib_module_names
        for frame in _frames(error)
    )


def _frames(error: BaseException) -> Iterator[TracebackType]:
    frame = error.__traceback__
    while frame is not None:
        yield frame
        frame = frame.tb_next


def _package(frame: TracebackType) -> str:
    return str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _die(error: BaseException, code: int) -> NoReturn:
    from lagrad.runtimes import shortage

    words = [f"lagrad: {shortage(error) or error}", *getattr(error, "__notes__", [])]
    typer.secho("\n".join(words), fg="red", err=True)
    raise typer.Exit(code) from None
