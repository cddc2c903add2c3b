"""`lagrad train`."""

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lagrad._forking import begin_forking

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


class TrainRuntimeName(StrEnum):
    """Where to train."""

    local = "local"
    simulator = "simulator"
    ray = "ray"


Out = Annotated[Path | None, typer.Option(help="New folder of the run [default: runs/TASK-TIME].")]


@app.command(
    epilog="Examples:\n\n"
    "lagrad train lenet-mnist --slow 0:6 --target 'accuracy>=0.98'\n\n"
    "lagrad train lenet-mnist --policy k-batch-async:3 "
    "--rule dynamic:lr=0.05,weight=exponential:0.5\n\n"
    "lagrad train quadratic:condition=100 --runtime simulator --delays stragglers --updates 5000"
    "\n\n"
    "lagrad train --resume runs/demo/lagrad"
)
def train(  # noqa: PLR0917 -- typer makes options of them
    context: typer.Context,
    task: Annotated[
        str | None, typer.Argument(help="A built-in task (`lagrad list tasks`) or module:name.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-n", help="How many.")] = 4,
    rule: Annotated[
        str | None, typer.Option(help="Update rule (`lagrad list rules`) [default: default-rule].")
    ] = None,
    policy: Policy = None,
    runtime: Annotated[
        TrainRuntimeName,
        typer.Option(
            help="Processes, a simulator (all its seconds are virtual), or a Ray cluster."
        ),
    ] = TrainRuntimeName.local,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster, e.g. auto [default: one of its own].")
    ] = None,
    servers: Annotated[int, typer.Option(help="Shards of the server, with Ray.")] = 1,
    slow: Slow = None,
    delays: Annotated[
        str | None,
        typer.Option(help="Model of job times (`lagrad list delays`), or recorded:RUN."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Stop when reached: 'accuracy>=0.985'.")
    ] = None,
    updates: Updates = None,
    seconds: Seconds = None,
    epochs: Epochs = None,
    seed: Annotated[int, typer.Option(help="Of parameters, sample order and delays.")] = 0,
    ema: Ema = None,
    buffers: Annotated[str, typer.Option(help="Of the model: mean, latest, recalibrate.")] = "mean",
    evaluate_every: Annotated[
        float | None, typer.Option(help="Seconds between evaluations.")
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option(
            help="Of a worker that failed, in a row [default: 3; simulator: 0, as nothing fails "
            "unasked]."
        ),
    ] = None,
    hung_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="End a worker that shows no sign of life, 0: never [default: 30].",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where workers compute: cpu, cuda, cuda:1 [default: cpu].")
    ] = None,
    seconds_per_job: Annotated[
        float | None, typer.Option(help="Of a healthy job [default: 1 virtual, else as it takes].")
    ] = None,
    chaos: Chaos = None,
    guard: Annotated[
        str, typer.Option(help="Against bad gradients: guard:longest=10,strikes=5,spike=20.")
    ] = "guard",
    durability: Durability = None,
    checkpoint_every: CheckpointEvery = 30.0,
    resume: Resume = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train a task without waiting for the slow workers.

    Without a budget or target the run ends after 1000 updates.
    """
    limits = given(updates=updates, seconds=seconds, epochs=epochs, target=target)
    in_time = runtime is not TrainRuntimeName.simulator and durability is not DurabilityName.none
    if resume is not None:
        in_time = was(resume, "local") or was(resume, "ray")
    supervised = in_time and context.obj is not None
    died_at: float | None = None
    if supervised:
        folder = resume or out or default_out(task or "")
        _import_for_all()
        died_at = context.obj.lead(folder, "train")
        if resume is None and died_at is not None:
            task, resume, limits = None, folder, {}
        out = folder
    from lagrad._progress import Progress

    with usage_errors():
        if (task is None) == (resume is None):
            raise ValueError("Expected a task or --resume RUN, one of the two; see --help.")
        from lagrad import Until, runtimes
        from lagrad._train import prepare

        if resume is not None:
            from lagrad._resume import prepare_resume

            if died_at is None:
                refuse_others(context)
            prepared = prepare_resume(
                resume, until=Until(**limits) if limits else None, died_at=died_at
            )
        else:
            assert task is not None
            where = _where(
                runtime,
                address=address,
                servers=servers,
                hung_after=hung_after,
                device=device,
                restarts=restarts,
                seconds_per_job=seconds_per_job,
            )
            prepared = prepare(
                task,
                rule=rule,
                policy=policy,
                runtime=where,
                workers=workers,
                until=Until(**(limits or {"updates": 1000})),
                seed=seed,
                delays=slowness(slow or [], delays, workers),
                ema=ema,
                buffers=buffers,
                evaluate_every=evaluate_every,
                chaos=chaos or (),
                guard=guard,
                keeping=runtimes.Keeping(
                    runtimes.Durability((durability or DurabilityName.interval).value),
                    every=checkpoint_every,
                ),
                out=out or default_out(task),
                supervised=supervised,
            )
    with failures(), Progress() as progress:
        result = prepared.run(progress)
    if as_json:
        typer.echo(json.dumps(result.summary(), allow_nan=False))
    else:
        progress.conclude(result)
    codes = {"diverged": FAILED, "interrupted": INTERRUPTED}
    raise typer.Exit(codes.get(result.stopped.value, OK))


def _import_for_all() -> None:
    """What the run's processes are forked with: here, and at the same time for its workers."""
    begin_forking()
    import lagrad._progress
    import lagrad._resume
    import lagrad._train  # noqa: F401


def _where(
    runtime: TrainRuntimeName,
    *,
    address: str | None,
    servers: int,
    hung_after: float | None,
    device: str | None,
    **usual: float | None,
) -> Any:
    """The runtime. usual: what all have, each with a default of its own."""
    from lagrad import runtimes

    if runtime is not TrainRuntimeName.ray and (address is not None or servers != 1):
        raise ValueError("--address and --servers are for --runtime ray; leave them out.")
    if runtime is TrainRuntimeName.simulator and hung_after is not None:
        raise ValueError("--hung-after is for processes, here or on Ray; leave it out.")
    if runtime is TrainRuntimeName.simulator and device is not None:
        raise ValueError("--device is for --runtime local and ray; leave it out.")
    terms = given(**usual, device=device)
    if runtime is TrainRuntimeName.simulator:
        return runtimes.Simulator(**terms)
    if hung_after is not None:
        terms["hung_after"] = hung_after or None
    if runtime is TrainRuntimeName.ray:
        return runtimes.Ray(address, servers=servers, **terms)
    return runtimes.Local(**terms)


def default_out(task: str) -> Path:
    """The folder of a run that is given none."""
    name = task.split(":", maxsplit=1)[0].split("(", maxsplit=1)[0]
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
