"""Tasks that take microseconds, at the top level of a module so that processes can have them."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from lagrad.tasks import Samples, Task

SAMPLES, FEATURES, CLASSES = 50, 5, 3


def points() -> Samples:
    """Noisy points in three clouds; the last batch of eight is short."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(SAMPLES) % CLASSES
    centers = 2 * torch.randn(CLASSES, FEATURES, generator=generator)
    return Samples((centers[labels] + torch.randn(SAMPLES, FEATURES, generator=generator), labels))


def linear() -> nn.Module:
    return nn.Linear(FEATURES, CLASSES)


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Linear(4, CLASSES))


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 600), nn.ReLU(), nn.Linear(600, CLASSES))


def cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def score(model: nn.Module) -> dict[str, float]:
    inputs, labels = points().batch(torch.arange(SAMPLES))
    logits = model(inputs)
    right = int(torch.count_nonzero(logits.argmax(dim=1) == labels))
    return {"loss": functional.cross_entropy(logits, labels).item(), "accuracy": right / SAMPLES}


def make(name: str = "blobs", **changes: object) -> Task:
    parts = {
        "model": linear,
        "loss": cross_entropy,
        "data": points,
        "batch_size": 8,
        "evaluate": score,
    }
    return Task(name, **{**parts, **changes})


def no_points() -> Samples:
    return Samples((torch.empty(0, FEATURES), torch.empty(0, dtype=torch.int64)))


def losses(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


def falls_over(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Fine where the run was started, and an error in each of its workers."""
    if multiprocessing.parent_process() is not None:
        raise ArithmeticError("the loss fell over")
    return cross_entropy(model, batch)


def falls_over_elsewhere(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """As `falls_over`, where processes are not children of the one that started the run."""
    if "ray::" in Path("/proc/self/cmdline").read_text():
        raise ArithmeticError("the loss fell over")
    return cross_entropy(model, batch)


def runs_out(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """As code does that reads a file to its end, in each worker."""
    if multiprocessing.parent_process() is not None:
        raise EOFError("the samples ran out")
    return cross_entropy(model, batch)


def is_poison(batch: tuple[Tensor, Tensor]) -> bool:
    """Whether the sample with the least first feature of all is in the batch."""
    inputs, _ = points().batch(torch.arange(SAMPLES))
    return bool((batch[0][:, 0] == inputs[:, 0].min()).any())


def falls_over_one_sample(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    if multiprocessing.parent_process() is not None and is_poison(batch):
        raise ArithmeticError("the loss fell over a sample")
    return cross_entropy(model, batch)


def hangs_once(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """A deadlock in one worker: over the poisoned batch, the first time that somebody has it."""
    mark = Path(os.environ.get("LAGRAD_TEST_MARK", "/nowhere"))
    if multiprocessing.parent_process() is not None and is_poison(batch) and not mark.exists():
        mark.touch()
        threading.Event().wait()
    return cross_entropy(model, batch)


def hangs_elsewhere(mark: str, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """As `hangs_once`, in a worker on Ray. mark: the path of a file that tells that it has been."""
    elsewhere = "ray::" in Path("/proc/self/cmdline").read_text()
    if elsewhere and is_poison(batch) and not Path(mark).exists():
        Path(mark).touch()
        threading.Event().wait()
    return cross_entropy(model, batch)


#: Gradients that this process has begun.
begun = 0


def fails_as_planned(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """What files in the folder LAGRAD_TEST_PLAN ask for goes wrong, once each, in some worker.

    `poison-3`: when somebody has the poisoned sample. `MemoryError-17` and so on: in a worker's
    17th gradient, or the first after it.
    """
    global begun  # noqa: PLW0603 -- of the process, which this is about
    plan = os.environ.get("LAGRAD_TEST_PLAN")
    if plan is None or multiprocessing.parent_process() is None:
        return cross_entropy(model, batch)
    begun += 1
    for path in Path(plan).iterdir():
        what, _, number = path.name.partition("-")
        if not (is_poison(batch) if what == "poison" else begun >= int(number)):
            continue
        try:
            path.unlink()
        except FileNotFoundError:
            continue  # another worker has met it
        if what == "SIGKILL":  # as the kernel does where memory is short
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "deadlock":
            threading.Event().wait()
        raise {"MemoryError": MemoryError}.get(what, ArithmeticError)("as planned")
    return cross_entropy(model, batch)


def dies_scoring(model: nn.Module) -> dict[str, float]:
    """Kill the evaluator: the first time, or with LAGRAD_TEST_DEATHS=all every time."""
    mark = Path(os.environ.get("LAGRAD_TEST_MARK", "/nowhere"))
    if multiprocessing.parent_process() is not None and (
        os.environ["LAGRAD_TEST_DEATHS"] == "all" or not mark.exists()
    ):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return score(model)


def two_dtypes() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 4), nn.Linear(4, CLASSES).double())


def cast_between(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(model[1](model[0](batch[0]).double()), batch[1])


#: The recipes that were followed in this process.
followed: list[str] = []


def counted_points() -> Samples:
    followed.append("data")
    return points()


def counted_model() -> nn.Module:
    followed.append("model")
    return normalised()


def counted_score(model: nn.Module) -> dict[str, float]:
    followed.append("evaluate")
    return score(model)


blobs = make()
#: Long enough for slices.
sliceable = make("wide", model=wide)
with_batch_norm = make("with-batch-norm", model=normalised)
counted = make("counted", model=counted_model, data=counted_points, evaluate=counted_score)
failing = make("failing", loss=falls_over)
failing_elsewhere = make("failing-elsewhere", loss=falls_over_elsewhere)
ending = make("ending", loss=runs_out)
faulty = make("faulty", loss=fails_as_planned)
poisoned = make("poisoned", loss=falls_over_one_sample)
hanging = make("hanging", loss=hangs_once)
deadly_scores = make("deadly-scores", evaluate=dies_scoring)

without_data = make("without-data", data=no_points)
with_large_batches = make("with-large-batches", batch_size=SAMPLES + 1)
without_parameters = make("without-parameters", model=nn.ReLU)
with_vector_loss = make("with-vector-loss", loss=losses)
with_two_dtypes = make("with-two-dtypes", model=two_dtypes, loss=cast_between)
without_scores = make("without-scores", evaluate=None)
unsendable = make("unsendable", model=lambda: linear())  # noqa: PLW0108
not_a_task = 3
