"""`lagrad reproduce`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._errors import failures, usage_errors


@app.command(
    epilog="Examples:\n\nlagrad reproduce motivation\n\nlagrad reproduce all --quick\n\n"
    "lagrad reproduce staleness --processes 16"
)
def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            help="motivation, bound, momentum, optimal-momentum, runtime, staleness, jain or all."
        ),
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="A small version, of less than two minutes each.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; goes on where it stopped [default: runs/reproduce or -quick]."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Computing side by side [default: the cores].")
    ] = None,
) -> None:
    """Reproduce the experiments on stale gradients: tables, figures and verdicts.

    Each leaves CSV tables, PNG and SVG figures and `report.md` in its folder. What a table holds
    already is not computed again.
    """
    from lagrad._progress import cells

    with usage_errors():
        from lagrad import experiments

        names = experiments.NAMES if name == "all" else (name,)
        found = [experiments.find(each) for each in names]
    folder = out or Path("runs") / ("reproduce-quick" if quick else "reproduce")
    for experiment in found:
        typer.echo(f"\n{experiment.name}: {experiment.title}")
        with usage_errors(), failures():
            done = experiments.reproduce(
                experiment,
                folder / experiment.name,
                quick=quick,
                processes=processes or os.cpu_count() or 1,
                progress=cells,
            )
        for verdict in done.verdicts:
            typer.echo(f"- {verdict}".replace("**", ""))
        typer.echo(f"Tables and {len(done.figures)} figures in {folder / experiment.name}")
