"""`lagrad run`."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from ._app import AsJson, app
from ._codes import FAILED, INTERRUPTED, OK
from ._errors import failures, usage_errors
from ._lives import DurabilityName, refuse_others, was
from ._options import (
    Chaos,
    CheckpointEvery,
    Durability,
    Ema,
    Epochs,
    Policy,
    Resume,
    Seconds,
    Slow,
    Updates,
    given,
)
from ._slowness import slowness


@app.command(
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
    epilog="Examples:\n\n"
    "lagrad run --workers 8 train.py --epochs 3\n\n"
    "lagrad run --slow 0:6 --target 'accuracy>=0.98' --out runs/mine train.py\n\n"
    "lagrad run --ray auto --workers 16 --min-workers 4 train.py\n\n"
    "lagrad run --resume runs/mine",
)
def run(  # noqa: PLR0917 -- typer makes options of them
    context: typer.Context,
    script: Annotated[
        Path | None, typer.Argument(help="A script that calls lagrad.join().")
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="...", help="The script's own arguments.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-n", help="How many processes.")] = 4,
    policy: Policy = None,
    rule: Annotated[str | None, typer.Option(help="In place of the script's.")] = None,
    slow: Slow = None,
    delays: Annotated[str | None, typer.Option(help="Model of job times.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Stop at a score of session.evaluate_every.")
    ] = None,
    updates: Updates = None,
    seconds: Seconds = None,
    epochs: Epochs = None,
    seed: Annotated[int, typer.Option(help="Of the sample order and delays.")] = 0,
    ema: Ema = None,
    restarts: Annotated[
        int,
        typer.Option(
            help="Of a process that failed, in a row; none unasked, as its script begins anew."
        ),
    ] = 0,
    hung_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="End a process that shows no sign of life, 0: never [default: 30].",
        ),
    ] = None,
    seconds_per_job: Annotated[
        float | None, typer.Option(help="Of a healthy job [default: as it takes].")
    ] = None,
    chaos: Chaos = None,
    durability: Durability = None,
    checkpoint_every: CheckpointEvery = 30.0,
    resume: Resume = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="On the nodes of a Ray cluster: its address, auto, or local."
        ),
    ] = None,
    min_workers: Annotated[
        int | None, typer.Option(help="With --ray: so many start and go on [default: all, 1].")
    ] = None,
    gpus: Annotated[
        bool, typer.Option("--gpus", help="With --ray: each process is given a GPU, or a part.")
    ] = False,
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
    limits = given(updates=updates, seconds=seconds, epochs=epochs, target=target)
    keeps = durability is not DurabilityName.none
    folder = resume or out or _default_out(script)
    supervised = context.obj is not None
    supervised &= was(resume, "launch") if resume is not None else keeps
    died_at: float | None = None
    if supervised:
        import lagrad._progress
        import lagrad.sessions  # noqa: F401 -- forked with each server

        died_at = context.obj.lead(folder, "run")
        if resume is None and died_at is not None:
            script, resume, limits = None, folder, {}
    with usage_errors():
        if (script is None) == (resume is None):
            raise ValueError("Expected a script or --resume RUN, one of the two; see --help.")
        from lagrad import Until, runtimes, specs
        from lagrad.sessions import Launch, prepare, prepare_resume

        until = Until(**limits) if limits else None
        if resume is not None:
            if died_at is None:
                refuse_others(context)
            prepared = prepare_resume(resume, until=until, died_at=died_at)
        else:
            assert script is not None
            terms = Launch(
                script=script,
                arguments=tuple(arguments or ()),
                workers=workers,
                policy=specs.parse("policy", policy or "asynchronous"),
                rule=rule,
                delays=slowness(slow or [], delays, workers),
                until=until,
                seed=seed,
                ema=ema,
                restarts=restarts,
                hung_after=30.0 if hung_after is None else hung_after or None,
                seconds_per_job=seconds_per_job,
                chaos=tuple(specs.parse("fault", fault) for fault in chaos or ()),
                out=folder,
                keeping=runtimes.Keeping(
                    runtimes.Durability((durability or DurabilityName.interval).value),
                    every=checkpoint_every,
                ),
                ray=ray,
                min_workers=min_workers,
                gpus=gpus,
            )
            prepared = prepare(terms, supervised=supervised)
    from lagrad._progress import Progress

    with failures():
        result = prepared.run(echo=lambda worker, line: typer.echo(f"[{worker}] {line}"))
    if as_json:
        typer.echo(json.dumps(result.summary(), allow_nan=False))
    else:
        Progress().conclude(result)
    codes = {"diverged": FAILED, "interrupted": INTERRUPTED}
    raise typer.Exit(codes.get(result.stopped.value, FAILED if result.given_up else OK))


def _default_out(script: Path | None) -> Path:
    name = "" if script is None else script.stem
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
