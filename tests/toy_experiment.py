"""An experiment that takes microseconds, in a module so that processes can have it."""

from pathlib import Path

from lagrad.experiments import Experiment, Study, Verdict


def grid(quick, tables):
    del tables
    return [{"kind": kind, "size": size} for kind in ("0.5", "none") for size in (1, 2.5)][
        : 2 if quick else 4
    ]


def square(kind, size):
    with Path("calls").open("a") as file:
        file.write(f"{kind} {size}\n")
    return [{"step": step, "value": size**2 + step / 3, "note": None} for step in range(2)]


def after(quick, tables):
    del quick
    return [{"best": float(tables["squares"]["value"].max())}]


def half(best):
    if Path("broken").exists():
        raise RuntimeError("broken")
    return [{"half": best / 2}]


def draw(tables, path):
    path.write_text(str(len(tables["squares"])))
    return path


def judge(tables):
    return [Verdict("Halves are halves.", bool(tables["halves"]["half"].iloc[0] > 0), "seen.")]


EXPERIMENT = Experiment(
    name="toy",
    title="squares and halves",
    studies=(Study("squares", grid, square), Study("halves", after, half)),
    figures={"squares": draw},
    verdicts=judge,
)
