"""The command `lagrad`."""

import dis
import json
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, Any, NoReturn

import typer

from lagrad import __version__

# Torch takes seconds to import: every command imports what it needs when it runs.

_OK, _FAILED, _USAGE, _INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train PyTorch models on machines of uneven speed, and use the gradients that come late.",
)


class RuntimeName(StrEnum):
    """Where to run."""

    local = "local"
    simulator = "simulator"


class TrainRuntimeName(StrEnum):
    """Where to train."""

    local = "local"
    simulator = "simulator"
    ray = "ray"


class Kind(StrEnum):
    """What can be listed."""

    rules = "rules"
    policies = "policies"
    weights = "weights"
    lookaheads = "lookaheads"
    schedules = "schedules"
    sets = "sets"
    delays = "delays"
    aggregations = "aggregations"
    faults = "faults"
    tasks = "tasks"


_KINDS = {
    Kind.rules: "rule",
    Kind.policies: "policy",
    Kind.weights: "weight",
    Kind.lookaheads: "lookahead",
    Kind.schedules: "schedule",
    Kind.sets: "set",
    Kind.delays: "delays",
    Kind.aggregations: "aggregation",
    Kind.faults: "fault",
    Kind.tasks: "task",
}

Out = Annotated[Path | None, typer.Option(help="New folder of the run [default: runs/TASK-TIME].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


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
    with _usage_errors():
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
            delays=_slowness(slow or [], delays, workers),
            ema=ema,
            buffers=buffers,
            evaluate_every=evaluate_every,
            chaos=chaos or (),
            guard=guard,
            out=out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}",
        )
    with _failures(), Progress() as progress:
        result = prepared.run(progress)
    if as_json:
        typer.echo(json.dumps(result.summary(), allow_nan=False))
    else:
        progress.conclude(result)
    codes = {"diverged": _FAILED, "interrupted": _INTERRUPTED}
    raise typer.Exit(codes.get(result.stopped.value, _OK))


@app.command(
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
    epilog="Examples:\n\n"
    "lagrad run --workers 8 train.py --epochs 3\n\n"
    "lagrad run --slow 0:6 --target 'accuracy>=0.98' --out runs/mine train.py",
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
    out: Annotated[
        Path | None, typer.Option(help="New folder of the run [default: runs/SCRIPT-TIME].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a script in several processes that train one model, without waiting for the slow ones.

    Lines that a process prints bear its number. Ends when the script does, or at a budget or
    target. Exit code 0 if at least one process ran to its end.
    """
    with _usage_errors():
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
            delays=_slowness(slow or [], delays, workers),
            until=Until(**limits) if limited else None,
            seed=seed,
            ema=ema,
            restarts=restarts,
            seconds_per_job=seconds_per_job,
            out=out or Path("runs") / f"{script.stem}-{time.strftime('%Y%m%d-%H%M%S')}",
        )
    from lagrad._progress import Progress
    from lagrad.sessions import launch

    with _failures():
        result = launch(terms, echo=lambda worker, line: typer.echo(f"[{worker}] {line}"))
    if as_json:
        typer.echo(json.dumps(result.summary(), allow_nan=False))
    else:
        Progress().conclude(result)
    codes = {"diverged": _FAILED, "interrupted": _INTERRUPTED}
    raise typer.Exit(codes.get(result.stopped.value, _OK))


def _slowness(slow: list[str], delays: str | None, workers: int) -> Any:
    from lagrad import specs
    from lagrad.delays import Equal, Factors

    base = Equal() if delays is None else specs.parse("delays", delays)
    if not slow:
        return base
    factors = []
    for text in slow:
        worker, _, factor = text.partition(":")
        try:
            factors.append((int(worker), float(factor)))
        except ValueError:
            raise ValueError(f"Expected --slow WORKER:FACTOR such as 0:6, got {text!r}.") from None
        if factors[-1][0] >= workers:
            raise ValueError(f"Expected --slow of a worker below {workers}, got {text!r}.")
    return Factors(tuple(factors), base=base)


@app.command(epilog="Example: lagrad replay runs/demo/lagrad")
def replay(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    as_json: AsJson = False,
) -> None:
    """Recompute a run from its trace and compare versions, staleness, verdicts and parameters."""
    from lagrad._progress import counting

    with _usage_errors():
        from lagrad._train import prepare_replay

        prepared = prepare_replay(run)
    with _failures(), counting("events replayed") as progress:
        found = prepared.run(progress)
    if as_json:
        typer.echo(json.dumps({"identical": found.identical, **asdict(found)}))
    elif found.identical:
        typer.echo(
            f"Identical: {found.events} events, {found.commands} answers, "
            f"parameters {found.digest[:16]}."
        )
    else:
        typer.echo("The replay differs from the record:\n" + "\n".join(found.differences))
    raise typer.Exit(_OK if found.identical else _FAILED)


@app.command(epilog="Example: lagrad audit runs/demo/lagrad")
def audit(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    as_json: AsJson = False,
) -> None:
    """Prove from a run's trace that its promises were kept: exit code 0 if so, else 1."""
    with _usage_errors():
        from lagrad._audit import audit as prove

        found = prove(run)
    if as_json:
        typer.echo(json.dumps({"holds": found.holds, **asdict(found)}))
    else:
        from lagrad._progress import audit_table

        audit_table(found.promises)
    raise typer.Exit(_OK if found.holds else _FAILED)


@app.command("list", epilog="Example: lagrad list policies")
def list_names(
    kind: Annotated[Kind | None, typer.Argument(help="Only this kind.")] = None,
) -> None:
    """List rules, policies, weights and all else that has a name, with a line each."""
    from rich.console import Console
    from rich.table import Table

    from lagrad import specs

    console = Console()
    for each in [kind] if kind else list(Kind):
        table = Table(title=each.value, title_justify="left", box=None, show_header=False)
        table.add_column(style="bold cyan", no_wrap=True)
        table.add_column()
        for name, maker in specs.catalogue(_KINDS[each]).items():
            table.add_row(name, specs.summary(maker))
        console.print(table)


@app.command(epilog="Example: lagrad plot runs/demo/lagrad")
def plot(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Annotated[Path | None, typer.Option(help="File to write [default: RUN/run.png].")] = None,
) -> None:
    """Draw a run: scores, training loss, staleness and what became of each worker's gradients."""
    with _usage_errors():
        from lagrad.plots import plot_run

        typer.echo(plot_run(run, out or run / "run.png"))


@app.command(epilog="Example: lagrad demo --out runs/demo")
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder of the results; an older one is replaced.")
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of all three runs.")] = 0,
) -> None:
    """Race three ways to train LeNet on MNIST with four workers, one of them six times slower."""
    from lagrad._progress import Progress

    with _usage_errors():
        from lagrad.experiments import demo as race

        race.clear(out)
    with _failures():
        outcome = race.run(out, seed=seed, progress=Progress, say=typer.echo)
    raise typer.Exit(_INTERRUPTED if outcome.interrupted else _OK if outcome.complete else _FAILED)


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
    import os

    from lagrad._progress import cells

    with _usage_errors():
        from lagrad import experiments

        names = experiments.NAMES if name == "all" else (name,)
        found = [experiments.find(each) for each in names]
    folder = out or Path("runs") / ("reproduce-quick" if quick else "reproduce")
    for experiment in found:
        typer.echo(f"\n{experiment.name}: {experiment.title}")
        with _usage_errors(), _failures():
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
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights, e.g. 0.99.")] = None,
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
    import os

    from lagrad._progress import cells

    given: dict[str, Any] = {
        "task": task,
        "rules": () if entrant and not rule else rule,
        "policies": policy,
        "entrants": entrant,
        "delays": delays,
        "workers": workers,
        "target": target,
        "budget": budget,
        "tuning_seeds": tuning_seeds,
        "report_seeds": report_seeds,
        "ema": ema,
        "evaluate_every": evaluate_every,
        "runtime": runtime.value,
    }
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
    side_by_side = 1 if runtime is RuntimeName.local else os.cpu_count() or 1
    folder = out or Path("runs") / ("race-quick" if quick else "race")
    with _usage_errors(), _failures():
        from lagrad import experiments

        if grid:
            given["grid"] = _grid(grid)
        terms = experiments.quick_race(**given) if quick else experiments.Race(**given)
        typer.echo(f"{terms.command}\n")
        done = experiments.race(terms, folder, processes=processes or side_by_side, progress=cells)
    for verdict in done.verdicts:
        typer.echo(f"- {verdict}".replace("**", ""))
    typer.echo(f"Tables, {len(done.figures)} figures and report.md in {folder}")


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

    with _failures():
        rows = getattr(benches, what.value)(rounds=rounds)
    if out is not None:
        benches.record(what.value, rows, out, command=f"lagrad bench {what.value}")
    typer.echo(json.dumps(rows) if as_json else benches.table(rows))


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


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Bad input ends with its message and code 2, a file that cannot be had with code 1.

    Whatever else is raised keeps its traceback, and ends with code 1. Warnings take a line each.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: typer.echo(
                f"Warning: {message}", err=True
            )
            yield
    except (ValueError, TypeError) as error:
        if not _ours(error):
            raise
        _die(error, _USAGE)
    except OSError as error:
        if not _within(error):
            raise
        _die(error, _FAILED)


@contextmanager
def _failures() -> Iterator[None]:
    """A run that cannot go on ends with its words and code 1; a bug keeps its traceback."""
    from lagrad.runtimes import RunFailed

    try:
        yield
    except (RunFailed, OSError) as error:
        if not _within(error):
            raise
        _die(error, _FAILED)
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def _ours(error: BaseException) -> bool:
    """Whether lagrad itself raised the error on purpose: by a `raise`, asked by lagrad alone."""
    *_, last = _frames(error)
    purpose = last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return purpose and _package(last) == "lagrad" and _within(error)


def _within(error: BaseException) -> bool:
    """Whether no code of the user's, whose place a traceback would tell, led to the error."""
    return all(
        _package(frame) == "lagrad" or _package(frame) in sys.stdlib_module_names
        for frame in _frames(error)
    )


def _frames(error: BaseException) -> Iterator[TracebackType]:
    frame = error.__traceback__
    while frame is not None:
        yield frame
        frame = frame.tb_next


def _package(frame: TracebackType) -> str:
    return str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _die(error: BaseException, code: int) -> NoReturn:
    notes = getattr(error, "__notes__", [])
    typer.secho("\n".join([f"lagrad: {error}", *notes]), fg="red", err=True)
    raise typer.Exit(code) from None


def main() -> None:
    """Run the command."""
    # A run has its own handlers, which let it end in order; these are for what lies around it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    # A task of the user's own may lie in the current folder, as with `python -m`.
    sys.path.insert(0, "")
    app()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise SystemExit(_INTERRUPTED)
