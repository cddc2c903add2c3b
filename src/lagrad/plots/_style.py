"""How all figures look, and how they are written."""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

#: Colours that most colour-blind readers can tell apart (Okabe, Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@contextmanager
def figure(path: Path, *, width: float = 8.0, height: float = 5.0) -> Iterator[Figure]:
    """A figure that is written to `path` at the end, whole or not at all; sizes in inches.

    Raises: ValueError for a suffix that names no format.
    """
    formats = Figure().canvas.get_supported_filetypes()
    suffix = path.suffix.removeprefix(".")
    if suffix not in formats:
        raise ValueError(
            f"Expected a file ending in one of {', '.join(sorted(formats))}, got {str(path)!r}; "
            "give the file another ending."
        )
    style: Any = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "axes.prop_cycle": cycler(color=COLOURS),
        "font.size": 10,
        "axes.titlesize": 11,
        "legend.frameon": False,
    }
    with mpl.rc_context(style):
        # A Figure of its own, without pyplot: no global state, no display.
        drawing = Figure(figsize=(width, height), layout="constrained", dpi=150)
        yield drawing
        content = io.BytesIO()
        drawing.savefig(content, format=suffix)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(content.getvalue())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def ticks_at(axis: Axis, places: Iterable[float], labels: Sequence[str] | None = None) -> None:
    """Ticks at these places alone, without powers of ten."""
    at = [float(place) for place in places]
    axis.set_major_locator(FixedLocator(at))
    axis.set_ticklabels([f"{place:g}" for place in at] if labels is None else labels)
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def plain_logarithmic(axis: Axis) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, written out; for an axis that is logarithmic."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
