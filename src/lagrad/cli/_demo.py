"""`lagrad demo`."""

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._codes import FAILED, INTERRUPTED, OK
from ._errors import failures, usage_errors


@app.command(epilog="Example: lagrad demo --out runs/demo")
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder of the results; an older one is replaced.")
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of all three runs.")] = 0,
) -> None:
    """Race three ways to train LeNet on MNIST with four workers, one of them six times slower."""
    from lagrad._progress import Progress

    with usage_errors():
        from lagrad.experiments import demo as race

        race.clear(out)
    with failures():
        outcome = race.run(out, seed=seed, progress=Progress, say=typer.echo)
    raise typer.Exit(INTERRUPTED if outcome.interrupted else OK if outcome.complete else FAILED)
