"""`lagrad plot`."""

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._errors import usage_errors


@app.command(epilog="Example: lagrad plot runs/demo/lagrad")
def plot(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Annotated[Path | None, typer.Option(help="File to write [default: RUN/run.png].")] = None,
) -> None:
    """Draw a run: scores, training loss, momentum, staleness, what became of the gradients."""
    with usage_errors():
        from lagrad.plots import plot_run

        typer.echo(plot_run(run, out or run / "run.png"))
