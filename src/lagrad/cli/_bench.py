"""`lagrad bench`."""

import datetime
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
    train = "train"
    simulate = "simulate"
    server = "server"
    all = "all"


#: Minutes of a round on two cores, for those who wait.
_EXAMPLES = (
    "Examples: lagrad bench server --json (a minute); lagrad bench push --rounds 3 --out results "
    "(three minutes a round); lagrad bench train --rounds 5 (one minute a round); "
    "lagrad bench train --race --rounds 3 (seven minutes a round)."
)


@app.command(epilog=_EXAMPLES)
def bench(
    what: Annotated[
        Bench,
        typer.Argument(
            help="Vectors there and back, training of LeNet, the simulator, the server alone, "
            "or all of them."
        ),
    ],
    rounds: Annotated[int, typer.Option(min=1, help="Of measurements in turns.")] = 5,
    race: Annotated[
        bool,
        typer.Option(
            "--race",
            help="With train or all: also race lagrad and its peers to 98.5 % test accuracy.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the dated result files and the race's figure, if wanted."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of JSON objects.")] = False,
) -> None:
    """Measure what lagrad costs here: medians and spreads over rounds in turns.

    `push`: updates per second by the clock, beside other systems and the bandwidth of the memory.
    `train`: what training costs beyond bare gradients. `simulate`, `server`: processor time. Peers
    that are not installed are left out, with a word on how to install them: see the extra `peers`.
    """
    if race and what not in {Bench.train, Bench.all}:
        raise typer.BadParameter(f"--race goes with train or all, not with {what.value}.")
    from lagrad import bench as benches

    names = [each.value for each in Bench if each is not Bench.all and what in {each, Bench.all}]
    if race:
        names.insert(names.index("train") + 1, "race")
    if out is not None:
        with failures():  # before minutes of measurements, not after
            out.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, object]] = []
    for name in names:
        figure: dict[str, Path] = {}
        if name == "race" and out is not None:
            figure = {"figure": out / f"race-{datetime.date.today().isoformat()}.png"}
        with failures():
            rows = getattr(benches, name)(rounds=rounds, **figure)
        if out is not None:
            command = "train --race" if name == "race" else name
            benches.record(name, rows, out, command=f"lagrad bench {command} --rounds {rounds}")
        found += rows if len(names) == 1 else [{"bench": name, **row} for row in rows]
        if not as_json:
            typer.echo(f"{benches.table(rows)}\n")
    if as_json:
        typer.echo(json.dumps(found))
