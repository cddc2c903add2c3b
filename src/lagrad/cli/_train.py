"""`lagrad train`."""

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ._app import AsJson, app
from ._errors import FAILED, INTERRUPTED, OK, failures, usage_errors
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
)
def train(  # noqa: PLR0917 -- typer makes options of them
    task: Annotated[
        str, typer.Argument(help="A built-in task (`lagrad list tasks`) or module:name.")
    ],
    workers: Annotated[int, typer.Option("--workers", "-n", help="How many.")] = 4,
    rule: Annotated[str | None, typer.Option(help="Update rule (`lagrad list rules`).")] = None,
    policy: Annotated[str | None, typer.Option(help="When the server steps.")] = None,
    runtime: Annotated[
        TrainRuntimeName, typer.Option(help="Processes, virtual time, or a Ray cluster.")
    ] = TrainRuntimeName.local,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster, e.g. auto [default: one of its own].")
    ] = None,
    servers: Annotated[int, typer.Option(help="Shards of the server, with Ray.")] = 1,
    slow: Annotated[
        list[str] | None,
        typer.Option(metavar="WORKER:FACTOR", help="Make a worker slower; repeat."),
    ] = None,
    delays: Annotated[
        str | None,
        typer.Option(help="Model of job times (`lagrad list delays`), or recorded:RUN."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Stop when reached: 'accuracy>=0.985'.")
    ] = None,
    updates: Annotated[int | None, typer.Option(help="Stop after so many updates.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Stop after so many epochs.")] = None,
    seed: Annotated[int, typer.Option(help="Of parameters, sample order and delays.")] = 0,
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights, e.g. 0.99.")] = None,
    buffers: Annotated[str, typer.Option(help="Of the model: mean, latest, recalibrate.")] = "mean",
    evaluate_every: Annotated[
        float | None, typer.Option(help="Seconds between evaluations.")
    ] = None,
    restarts: Annotated[int, typer.Option(help="Restarts of a worker that died.")] = 0,
    seconds_per_job: Annotated[
        float | None, typer.Option(help="Of a healthy job [default: 1 virtual, else as it takes].")
    ] = None,
    chaos: Annotated[
        list[str] | None,
        typer.Option(help="A fault on purpose (`lagrad list faults`); repeat."),
    ] = None,
    guard: Annotated[
        str, typer.Option(help="Against bad gradients: guard:longest=10,strikes=5,spike=20.")
    ] = "guard",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train a task without waiting for the slow workers.

    Without a budget or target the run ends after 1000 updates.
    """
    from lagrad._progress import Progress

    name = task.split(":")[0].split("(")[0]
    with usage_errors():
        from lagrad import Until, runtimes
        from lagrad._train import prepare

        where: Any
        if runtime is not TrainRuntimeName.ray and (address is not None or servers != 1):
            raise ValueError("--address and --servers are for --runtime ray; leave them out.")
        if runtime is TrainRuntimeName.local:
            where = runtimes.Local(restarts=restarts, seconds_per_job=seconds_per_job)
        elif runtime is TrainRuntimeName.ray:
            where = runtimes.Ray(
                address, servers=servers, restarts=restarts, seconds_per_job=seconds_per_job
            )
        else:
            where = runtimes.Simulator(
                seconds_per_job=1.0 if seconds_per_job is None else seconds_per_job,
                restarts=restarts,
            )
        limits: dict[str, Any] = {
            "updates": updates,
            "seconds": seconds,
            "epochs": epochs,
            "target": target,
        }
        if all(limit is None for limit in limits.values()):
            limits["updates"] = 1000
        until = Until(**limits)
        prepared = prepare(
            task,
            rule=rule,
            policy=policy,
            runtime=where,
            workers=workers,
            until=until,
            seed=seed,
            delays=slowness(slow or [], delays, workers),
            ema=ema,
            buffers=buffers,
            evaluate_every=evaluate_every,
            chaos=chaos or (),
            guard=guard,
            out=out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}",
        )
    with failures(), Progress() as progress:
        result = prepared.run(progress)
    if as_json:
        typer.echo(json.dumps(result.summary(), allow_nan=False))
    else:
        progress.conclude(result)
    codes = {"diverged": FAILED, "interrupted": INTERRUPTED}
    raise typer.Exit(codes.get(result.stopped.value, OK))
