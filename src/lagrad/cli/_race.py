"""`lagrad race`."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ._app import app
from ._errors import failures, usage_errors
from ._options import Ema, given


class RuntimeName(StrEnum):
    """Where to run."""

    local = "local"
    simulator = "simulator"


@app.command(
    epilog="Examples:\n\nlagrad race\n\nlagrad race --quick\n\n"
    "lagrad race --rule momentum --rule 'dynamic:kernel=geometric:{momentum}' --delays bursts "
    "--grid lr=0.01,0.03,0.1 --grid momentum=0.8,0.9\n\n"
    "lagrad race --entrant 'momentum @ synchronous' --entrant 'ormo @ asynchronous'"
)
def race(  # noqa: PLR0917 -- typer makes options of them
    task: Annotated[
        str | None, typer.Option(help="A built-in task (`lagrad list tasks`) or module:name.")
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(help="A rule, without what is tuned; repeat. Each races under each policy."),
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="A policy; repeat [default: asynchronous].")
    ] = None,
    entrant: Annotated[
        list[str] | None,
        typer.Option(metavar="'RULE @ POLICY'", help="One more pair; repeat."),
    ] = None,
    delays: Annotated[
        list[str] | None,
        typer.Option(help="A model of job times (`lagrad list delays`), one panel each; repeat."),
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", "-n", help="How many.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Whose time is measured: 'loss<=1e-3'.")
    ] = None,
    budget: Annotated[float | None, typer.Option(help="Seconds a run may take.")] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES", help="Values to try, the same for everyone: lr=0.01,0.1; repeat."
        ),
    ] = None,
    tuning_seeds: Annotated[int | None, typer.Option(help="How many, for each trial.")] = None,
    report_seeds: Annotated[int | None, typer.Option(help="How many others, as tuned.")] = None,
    ema: Ema = None,
    evaluate_every: Annotated[
        float | None, typer.Option(help="Seconds between evaluations [default: budget / 200].")
    ] = None,
    runtime: Annotated[
        RuntimeName, typer.Option(help="Virtual time, or processes in real time, one by one.")
    ] = RuntimeName.simulator,
    quick: Annotated[
        bool, typer.Option("--quick", help="Every rule, on a small task: a minute or two.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; goes on where it stopped [default: runs/race or -quick]."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Side by side [default: the cores; 1 if local].")
    ] = None,
) -> None:
    """Race rules and policies: everyone is tuned with as many trials, then runs with other seeds.

    Leaves CSV tables, figures (PNG, SVG) and `report.md`. What a table holds already is not
    computed again.
    """
    from lagrad._progress import cells

    chosen = given(
        task=task,
        rules=() if entrant and not rule else rule,
        policies=policy,
        entrants=entrant,
        delays=delays,
        workers=workers,
        target=target,
        budget=budget,
        tuning_seeds=tuning_seeds,
        report_seeds=report_seeds,
        ema=ema,
        evaluate_every=evaluate_every,
        runtime=runtime.value,
    )
    terms: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()
    }
    side_by_side = 1 if runtime is RuntimeName.local else os.cpu_count() or 1
    folder = out or Path("runs") / ("race-quick" if quick else "race")
    with usage_errors(), failures():
        from lagrad import experiments

        if grid:
            terms["grid"] = _grid(grid)
        asked = experiments.quick_race(**terms) if quick else experiments.Race(**terms)
        typer.echo(f"{asked.command}\n")
        done = experiments.race(asked, folder, processes=processes or side_by_side, progress=cells)
    for verdict in done.verdicts:
        typer.echo(f"- {verdict}".replace("**", ""))
    typer.echo(f"Tables, {len(done.figures)} figures and report.md in {folder}")


def _grid(texts: list[str]) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            found[name.strip().replace("-", "_")] = tuple(map(float, values.split(",")))
        except ValueError:
            raise ValueError(
                f"Expected --grid NAME=VALUE,VALUE such as lr=0.01,0.1, got {text!r}."
            ) from None
    return found
