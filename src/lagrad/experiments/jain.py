"""A constant delay on LeNet with momentum 0.9: the table of Jain, Srinivasan and Barekatain."""

from collections.abc import Sequence
from typing import Any

from lagrad import train
from lagrad.delays import Equal
from lagrad.plots import plot_jain
from lagrad.policies import Asynchronous
from lagrad.rules import Momentum
from lagrad.runtimes import Simulator, Until
from lagrad.tasks import lenet_mnist

from ._experiment import Cell, Experiment, Study, Tables, Verdict

DELAYS = (0, 1, 2, 4)
RATES = (1e-3, 3.16e-3, 1e-2, 3.16e-2, 1e-1)
#: Below this a run has collapsed: to one class, or to numbers that are not finite.
COLLAPSED = 0.5
#: Their test accuracies after 30 epochs, for batches of 64 and 256 (ICLR workshop 2018); 0.0 where
#: they say that it diverged.
PUBLISHED = {
    (64, 0): (0.988, 0.990, 0.991, 0.990, 0.103),
    (64, 1): (0.986, 0.991, 0.987, 0.986, 0.0),
    (64, 2): (0.988, 0.988, 0.989, 0.113, 0.0),
    (64, 4): (0.987, 0.987, 0.981, 0.113, 0.0),
    (256, 0): (0.976, 0.988, 0.989, 0.991, 0.103),
    (256, 1): (0.977, 0.988, 0.987, 0.985, 0.0),
    (256, 2): (0.977, 0.985, 0.987, 0.113, 0.0),
    (256, 4): (0.978, 0.988, 0.975, 0.181, 0.0),
}


def cells(quick: bool, tables: Tables) -> Sequence[Cell]:
    """Delay x batch size x learning rate."""
    del tables
    delays, batches, rates, epochs = (
        ((0, 4), (256,), (1e-2, 1e-1), 0.25) if quick else (DELAYS, (64, 256), RATES, 2.0)
    )
    return [
        {"delay": delay, "batch_size": batch, "lr": lr, "epochs": epochs}
        for delay in delays
        for batch in batches
        for lr in rates
    ]


def collapse(delay: int, batch_size: int, lr: float, epochs: float) -> list[dict[str, Any]]:
    """Train; the test accuracy at the end, on all test images.

    Equal workers take turns, so that every gradient but the first few is `delay` updates late.
    """
    result = train(
        lenet_mnist(batch_size=batch_size),
        rule=Momentum(lr=lr, momentum=0.9),
        policy=Asynchronous(),
        runtime=Simulator(),
        workers=delay + 1,
        delays=Equal(),
        until=Until(epochs=epochs),
        evaluate_every=1e6,
        seed=0,
    )
    published = PUBLISHED[batch_size, delay][RATES.index(lr)]
    accuracy = result.scores.get("accuracy", 0.0)
    return [
        {
            "accuracy": 0.0 if result.stopped.value == "diverged" else accuracy,
            "mean_tau": result.mean_staleness,
            "updates": result.updates,
            "published": published,
        }
    ]


def verdicts(tables: Tables) -> list[Verdict]:
    """The pattern of the published table: what is harmless, and where each delay collapses."""
    table = tables["accuracy"]
    alive = table[table.accuracy > COLLAPSED]
    largest = alive.groupby(["batch_size", "delay"]).lr.max()
    delays = sorted(table.delay.unique())
    found = []
    for batch in table.batch_size.unique():
        falls = [float(largest.get((batch, delay), 0.0)) for delay in delays]
        words = ", ".join(
            f"D={delay}: {lr:g}" if lr else f"D={delay}: none"
            for delay, lr in zip(delays, falls, strict=True)
        )
        found.append(
            Verdict(
                f"With batches of {batch}, the longer the delay, the smaller the learning rate "
                "that still trains.",
                falls == sorted(falls, reverse=True) and falls[0] > falls[-1],
                f"largest learning rate of the grid that trains: {words}.",
            )
        )
    same = ((table.accuracy > COLLAPSED) == (table.published > COLLAPSED)).mean()
    found.append(
        Verdict(
            "The same cells train and collapse as in the published table.",
            bool(same == 1.0),
            f"{same:.0%} of {len(table)} cells agree, after {table.epochs.max():g} epochs of ours "
            "and 30 of theirs, on LeNet's Caffe and LeNet-5.",
        )
    )
    low = table[table.lr <= 3.17e-3]
    if len(low):
        spread = low.groupby(["batch_size", "lr"]).accuracy.agg(lambda a: a.max() - a.min())
        found.append(
            Verdict(
                "At learning rates of 0.00316 and less a delay of up to 4 costs less than 1 %.",
                bool(spread.max() < 0.01),
                f"largest difference between delays {spread.max():.2%}.",
            )
        )
    return found


EXPERIMENT = Experiment(
    name="jain",
    title="LeNet with momentum 0.9 under a constant delay",
    studies=(Study("accuracy", cells, collapse),),
    figures={"jain": plot_jain},
    verdicts=verdicts,
)
