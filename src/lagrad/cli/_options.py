"""Options that several commands have alike."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._lives import DurabilityName

Policy = Annotated[
    str | None,
    typer.Option(help="When the server steps (`lagrad list policies`) [default: asynchronous]."),
]
Slow = Annotated[
    list[str] | None,
    typer.Option(metavar="WORKER:FACTOR", help="Make a worker slower; repeat."),
]
Updates = Annotated[int | None, typer.Option(help="Stop after so many updates.")]
Seconds = Annotated[float | None, typer.Option(help="Stop after so many seconds.")]
Epochs = Annotated[float | None, typer.Option(help="Stop after so many epochs.")]
Ema = Annotated[float | None, typer.Option(help="Decay of averaged weights, e.g. 0.99.")]
Chaos = Annotated[
    list[str] | None,
    typer.Option(help="A fault on purpose (`lagrad list faults`); repeat."),
]
Durability = Annotated[
    DurabilityName | None,
    typer.Option(help="What survives the server: see docs/guarantees.md [default: interval]."),
]
CheckpointEvery = Annotated[
    float, typer.Option(help="Seconds between checkpoints: what `interval` may lose.")
]
Resume = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Go on with a run, perhaps to another budget or target."),
]


def given(**options: Any) -> dict[str, Any]:
    """Those of them that were given; the others have defaults where they are used.

    >>> given(updates=5, seconds=None)
    {'updates': 5}
    """
    return {name: value for name, value in options.items() if value is not None}
