"""`lagrad audit`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ._app import AsJson, app
from ._codes import FAILED, OK
from ._errors import usage_errors


@app.command(epilog="Example: lagrad audit runs/demo/lagrad")
def audit(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    as_json: AsJson = False,
) -> None:
    """Prove from a run's trace that its promises were kept: exit code 0 if so, else 1."""
    with usage_errors():
        from lagrad._audit import audit as prove

        found = prove(run)
    if as_json:
        typer.echo(json.dumps({"holds": found.holds, **asdict(found)}))
    else:
        from lagrad._progress import audit_table

        audit_table(found.promises)
    raise typer.Exit(OK if found.holds else FAILED)
