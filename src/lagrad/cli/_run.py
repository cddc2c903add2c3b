"""`lagrad run`."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ._app import AsJson, app
from ._errors import FAILED, INTERRUPTED, OK, failures, usage_errors
from ._slowness import slowness


@app.command(
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
    epilog="Examples:\n\n"
    "lagrad run --workers 8 train.py --epochs 3\n\n"
    "lagrad run --slow 0:6 --target 'accuracy>=0.98' --out runs/mine train.py\n\n"
    "lagrad run --ray auto --workers 16 --min-workers 4 train.py",
)
def run(  # noqa: PLR0917 -- typer makes options of them
    script: Annotated[Path, typer.Argument(help="A script that calls lagrad.join().")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="...", help="The script's own arguments.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-n", help="How many processes.")] = 4,
    policy: Annotated[str | None, typer.Option(help="When the server steps.")] = None,
    rule: Annotated[str | None, typer.Option(help="In place of the script's.")] = None,
    slow: Annotated[
        list[str] | None,
        typer.Option(metavar="WORKER:FACTOR", help="Make a worker slower; repeat."),
    ] = None,
    delays: Annotated[str | None, typer.Option(help="Model of job times.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Stop at a score of session.evaluate_every.")
    ] = None,
    updates: Annotated[int | None, typer.Option(help="Stop after so many updates.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Stop after so many epochs.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sample order and delays.")] = 0,
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights, e.g. 0.99.")] = None,
    restarts: Annotated[int, typer.Option(help="Restarts of a process that failed.")] = 0,
    seconds_per_job: Annotated[
        float | None, typer.Option(help="Of a healthy job [default: as it takes].")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="On the nodes of a Ray cluster: its address, auto, or local."
        ),
    ] = None,
    min_workers: Annotated[
        int | None, typer.Option(help="With --ray: so many start and go on [default: all, 1].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder of the run [default: runs/SCRIPT-TIME].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a script in several processes that train one model, without waiting for the slow ones.

    Lines that a process prints bear its number. Ends when the script does, or at a budget or
    target. Exit code 0 if every script ran to its end, or was killed or lost while others did;
    1 if one failed by itself and was not started again, though the others train on.
    """
    with usage_errors():
        from lagrad import Until, specs
        from lagrad.sessions import Launch

        limits: dict[str, Any] = {
            "updates": updates,
            "seconds": seconds,
            "epochs": epochs,
            "target": target,
        }
        limited = any(limit is not None for limit in limits.values())
        terms = Launch(
            script=script,
            arguments=tuple(arguments or ()),
            workers=workers,
            policy=specs.parse("policy", policy or "asynchronous"),
            rule=rule,
            delays=slowness(slow or [], delays, workers),
            until=Until(**limits) if limited else None,
            seed=seed,
            ema=ema,
            restarts=restarts,
            seconds_per_job=seconds_per_job,
            ray=ray,
            min_workers=min_workers,
            out=out or Path("runs") / f"{script.stem}-{time.strftime('%Y%m%d-%H%M%S')}",
        )
    from lagrad._progress import Progress
    from lagrad.sessions import launch

    with failures():
        result = launch(terms, echo=lambda worker, line: typer.echo(f"[{worker}] {line}"))
    if as_json:
        typer.echo(json.dumps(result.summary(), allow_nan=False))
    else:
        Progress().conclude(result)
    codes = {"diverged": FAILED, "interrupted": INTERRUPTED}
    raise typer.Exit(codes.get(result.stopped.value, FAILED if result.given_up else OK))
