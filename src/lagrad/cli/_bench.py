"""`lagrad bench`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._errors import failures


class Bench(StrEnum):
    """What can be measured."""

    simulate = "simulate"
    server = "server"


@app.command(epilog="Example: lagrad bench server --json")
def bench(
    what: Annotated[Bench, typer.Argument(help="The simulator, or the server alone.")],
    rounds: Annotated[int, typer.Option(min=1, help="Of measurements in turns.")] = 5,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the dated result file, if one is wanted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of JSON objects.")] = False,
) -> None:
    """Measure what lagrad costs here, in processor time: medians and spreads over rounds."""
    from lagrad import bench as benches

    with failures():
        rows = getattr(benches, what.value)(rounds=rounds)
    if out is not None:
        benches.record(what.value, rows, out, command=f"lagrad bench {what.value}")
    typer.echo(json.dumps(rows) if as_json else benches.table(rows))
