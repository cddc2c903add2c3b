"""What a person sees while a run goes on."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table

from lagrad.core import Outcome
from lagrad.runtimes import Result, Run, Stopped, WorkerTally, mean_staleness
from lagrad.trace import Promise

_LINE_EVERY_S = 5.0


class Progress:
    """An observer of runs: a live table in a terminal, else a line now and then, on stderr."""

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.console = Console(file=sys.stderr)
        self._live = Live(console=self.console, refresh_per_second=8, transient=True)
        self._next_line = -math.inf
        self._told: list[str] = []

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def __call__(self, run: Run) -> None:
        """Show where the run stands, and what has failed since."""
        self._tell(run.failures[len(self._told) :])
        if self.console.is_terminal:
            self._live.update(_table(run, self.title))
        elif time.monotonic() >= self._next_line:
            # Of whoever reads, not of the run, whose clock may be virtual.
            self._next_line = time.monotonic() + _LINE_EVERY_S
            words = f"{_headline(run, self.title)}  {_verdicts(run)}"
            self.console.print(escape(words), highlight=False, soft_wrap=True)

    def _tell(self, failures: Sequence[str]) -> None:
        for failure in failures:
            self.console.print(f"[red]{escape(failure)}[/red]", highlight=False)
            self._told.append(failure)

    def conclude(self, result: Result) -> None:
        """The last words on a run."""
        self.console.print(worker_table(list(result.workers)))
        scores = ", ".join(f"{name} {score:.4g}" for name, score in result.scores.items())
        reason = {
            Stopped.TARGET: f"Target reached after {result.seconds_to_target or 0:.1f} s",
            Stopped.BUDGET: f"Budget spent after {result.seconds:.1f} s",
            Stopped.DIVERGED: f"Diverged after {result.seconds:.1f} s: the loss is not finite; "
            "try a smaller learning rate. The last good weights are kept",
            Stopped.INTERRUPTED: f"Interrupted after {result.seconds:.1f} s",
            Stopped.ENDED: f"The script ended after {result.seconds:.1f} s",
        }.get(result.stopped, result.stopped.value)
        line = f"{reason}. {result.updates} updates, mean staleness {result.mean_staleness:.2f}"
        self.console.print(escape(f"{line}{', ' + scores if scores else ''}."), highlight=False)
        for worker, tally in enumerate(result.workers):
            if tally.quarantines:
                self.console.print(
                    f"[red]Worker {worker} was quarantined {tally.quarantines} times for gradients "
                    "that were rejected[/red]"
                )
        for worker, tally in enumerate(result.workers):
            if tally.preemptions:
                self.console.print(
                    f"Worker {worker} was asked to leave {tally.preemptions} times (SIGTERM)"
                )
        for lease in result.set_aside:
            self.console.print(
                f"[red]Lease {lease.number} was set aside, since workers failed over it: "
                f"{lease.samples} samples of epoch {lease.epoch}[/red]"
            )
        if result.rollbacks:
            self.console.print(f"[red]The parameters went back {result.rollbacks} times[/red]")
        for fault, struck in result.faults:
            self.console.print(escape(f"{fault}: {struck} times"), highlight=False)
        # What was told when it happened is told again only if more has become known of it.
        self._tell([failure for failure in result.failures if failure not in self._told])
        if result.out is not None:
            self.console.print(f"Run in {escape(str(result.out))}", highlight=False)


def _headline(run: Run, title: str) -> str:
    words = [title] if title else []
    if not run.server.version and not run.now:
        return " ".join([*words, "starting workers ..."])
    words.append(f"{run.now:6.1f} s  {run.server.version} updates")
    words.append(f"({run.server.version / max(run.now, 1e-9):.1f}/s)")
    if run.alone_since is not None:
        words.append(f"no worker is there since {run.alone_since:.1f} s: waiting for one")
    if not math.isnan(run.loss):
        words.append(f"training loss {run.loss:.4g}")
    if run.evaluations:
        words += [f"{name} {score:.4g}" for name, score in run.evaluations[-1].scores.items()]
    return "  ".join(words)


def _verdicts(run: Run) -> str:
    counts = run.server.verdicts
    words = [f"{counts[o]} {o.value}" for o in Outcome if counts[o]]
    if counts[Outcome.APPLIED]:
        largest = max(tally.tau_max for tally in run.tallies)
        words.append(f"staleness {mean_staleness(run.tallies):.1f} (max {largest})")
    return "  ".join(words)


def _table(run: Run, title: str) -> Table:
    table = worker_table(run.tallies)
    table.title = escape(_headline(run, title))
    table.title_justify = "left"
    return table


def worker_table(tallies: list[WorkerTally]) -> Table:
    """One row per worker: staleness min, mean, max, and the verdicts."""
    table = Table("worker", "applied", "dropped", "rejected", "staleness min", "mean", "max")
    for column in table.columns:
        column.justify = "right"
    for worker, tally in enumerate(tallies):
        counts = [tally.verdicts[o] for o in (Outcome.APPLIED, Outcome.DROPPED, Outcome.REJECTED)]
        table.add_row(
            str(worker),
            *(str(count) for count in counts),
            str(tally.tau_min),
            f"{tally.tau_mean:.2f}",
            str(tally.tau_max),
        )
    return table


def audit_table(promises: Sequence[Promise]) -> None:
    """Each promise of a run, how often it was checked, and what speaks against it."""
    table = Table("promise", "checks", "violations", "")
    for promise in promises:
        words = "[green]holds[/green]" if promise.holds else "[red]broken[/red]"
        table.add_row(promise.name, str(promise.checked), str(promise.violated), words)
    console = Console()
    console.print(table)
    for promise in promises:
        for violation in promise.violations:
            console.print(f"[red]{escape(f'{promise.name}: {violation}')}[/red]", soft_wrap=True)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A counter on a terminal's stderr; silent elsewhere."""
    console = Console(file=sys.stderr)
    with console.status(f"0 {what}") as status:

        def show(count: int) -> None:
            if count % 50 == 0:
                status.update(f"{count} {what}")

        yield show


@contextmanager
def cells(what: str, count: int) -> Iterator[Callable[[], None]]:
    """A bar over the cells of a table, on stderr; nothing where none is to be computed."""
    if not count:
        yield lambda: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(what, total=count)
        yield lambda: bar.advance(task)
