"""`lagrad list`."""

from enum import StrEnum
from typing import Annotated

import typer

from ._app import app


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


@app.command("list", epilog="Example: lagrad list policies")
def list_names(
    kind: Annotated[Kind | None, typer.Argument(help="Only this kind.")] = None,
) -> None:
    """List rules, policies, weights and all else that has a name: what it is, its arguments."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lagrad import specs

    console = Console()
    for each in [kind] if kind else list(Kind):
        table = Table(title=each.value, title_justify="left", box=None, show_header=False)
        table.add_column(style="bold cyan", no_wrap=True)
        table.add_column()
        for name, maker in specs.catalogue(_KINDS[each]).items():
            words = Text(specs.summary(maker))
            if arguments := specs.arguments(maker):
                words.append(f"\n{arguments}", style="dim")
            table.add_row(name, words)
        console.print(table)
