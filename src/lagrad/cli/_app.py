"""The command itself: what its parts are hung on."""

from typing import Annotated

import typer

from lagrad import __version__

# Torch takes seconds to import: every command imports what it needs when it runs.

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train PyTorch models on machines of uneven speed, and use the gradients that come late.",
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
