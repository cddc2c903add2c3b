"""`lagrad replay`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ._app import AsJson, app
from ._codes import FAILED, OK
from ._errors import failures, usage_errors


@app.command(epilog="Example: lagrad replay runs/demo/lagrad")
def replay(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    as_json: AsJson = False,
) -> None:
    """Recompute a run from its trace and compare versions, staleness, verdicts and parameters."""
    from lagrad._progress import counting

    with usage_errors():
        from lagrad._train import prepare_replay

        prepared = prepare_replay(run)
    with failures(), counting("events replayed") as progress:
        found = prepared.run(progress)
    if as_json:
        typer.echo(json.dumps({"identical": found.identical, **asdict(found)}))
    elif found.identical:
        typer.echo(
            f"Identical: {found.events} events, {found.commands} answers, "
            f"parameters {found.digest[:16]}."
        )
    else:
        typer.echo("The replay differs from the record:\n" + "\n".join(found.differences))
    raise typer.Exit(OK if found.identical else FAILED)
