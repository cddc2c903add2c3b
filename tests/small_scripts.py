"""A script of microseconds for `lagrad run`, and the same as a task, by which it is replayed."""

import torch
from torch import Tensor, nn

from lagrad.core import shuffled_order
from lagrad.tasks import Samples, Task

#: What `write` is given as scores where the model is to be scored.
SCORES = "session.evaluate_every(0.01, lambda net: {'loss': ((net(x) - y) ** 2).mean()})"
#: The fields are Python: see `write`.
SCRIPT = """
import os, sys, time, torch, lagrad
from torch import nn
from lagrad import rules
torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.linspace(-1, 1, 256)[:, None]
y = 3 * x + 1
session = lagrad.join()
model = session.wrap({model})
optimizer = session.optimizer({rule}, groups={groups})
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma={gamma})
{scores}
for epoch in range({epochs}):
    {before}
    for step, (a, b) in enumerate(session.batches((x, y), batch_size=16)):
        optimizer.zero_grad()
        loss = ((model(a) - b) ** 2).mean()
        loss.backward()
        session.log(loss=loss.item())
        {inside}
        optimizer.step()
    scheduler.step()
print("done", {last})
"""


def write(
    folder,
    *,
    model="nn.Linear(1, 1)",
    rule="rules.Momentum(lr=0.1, momentum=0.5)",
    groups="None",
    gamma="0.5",
    scores="pass",
    epochs="4",
    before="pass",
    inside="pass",
    last="session.worker, session.finished",
):
    """The script as a file.

    gamma: of the learning rate, after each epoch. before: each epoch. inside: before each step.
    last: what is said at the end.
    """
    fields = {
        "model": model,
        "rule": rule,
        "groups": groups,
        "gamma": gamma,
        "scores": scores,
        "epochs": epochs,
        "before": before,
        "inside": inside,
        "last": last,
    }
    path = folder / "train.py"
    path.write_text(SCRIPT.format(**fields))
    return path


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(1, 1)


def points() -> Samples:
    x = torch.linspace(-1, 1, 256)[:, None]
    return Samples((x, 3 * x + 1))


def square(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return ((model(batch[0]) - batch[1]) ** 2).mean()


TASK = Task("train", linear, square, points, batch_size=16)


def order(epoch: int) -> Tensor:
    """Of the samples, at seed 0."""
    return shuffled_order(256, seed=0, epoch=epoch)
