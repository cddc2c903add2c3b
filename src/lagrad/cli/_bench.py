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

    push = "push"
    simulate = "simulate"
    server = "server"
    all = "all"


@app.command(epilog="Example: lagrad bench server --json")
def bench(
    what: Annotated[
        Bench,
        typer.Argument(help="Vectors there and back, the simulator, the server alone, or all."),
    ],
    rounds: Annotated[int, typer.Option(min=1, help="Of measurements in turns.")] = 5,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the dated result file, if one is wanted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of JSON objects.")] = False,
) -> None:
    """Measure what lagrad costs here: medians and spreads over rounds.

    `push` by the clock, beside other systems and the bandwidth of the memory; the others in
    processor time.
    """
    from lagrad import bench as benches

    found: list[dict[str, object]] = []
    for name in [
        each.value for each in Bench if each is not Bench.all and what in {each, Bench.all}
    ]:
        with failures():
            rows = getattr(benches, name)(rounds=rounds)
        if out is not None:
            benches.record(name, rows, out, command=f"lagrad bench {name} --rounds {rounds}")
        found += [{"bench": name, **row} for row in rows] if what is Bench.all else rows
        if not as_json:
            typer.echo(benches.table(rows))
    if as_json:
        typer.echo(json.dumps(found))
