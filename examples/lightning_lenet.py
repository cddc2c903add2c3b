"""LeNet on MNIST by PyTorch Lightning: its loop, the run's batches and parameters."""

import argparse
from collections.abc import Iterator
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import data

import lagrad
from lagrad import rules
from lagrad.tasks import LeNet, mnist


class Leased:
    """What Lightning loops over: the batches of an epoch that the run leases to this worker."""

    def __init__(self, session: lagrad.Session, samples: data.Dataset, batch_size: int) -> None:
        self.session, self.samples, self.batch_size = session, samples, batch_size

    def __iter__(self) -> Iterator[Any]:
        """One epoch."""
        return self.session.batches(self.samples, batch_size=self.batch_size)


class EndsWithTheRun(lightning.Callback):
    """Ends the training when the run is over: its target reached, or its budget spent."""

    def __init__(self, session: lagrad.Session) -> None:
        self.session = session

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """The last epoch of a run that is over ends early."""
        trainer.should_stop = self.session.finished


class Classifier(lightning.LightningModule):
    """A module as ever, but for its optimizer, and that it draws its batches itself."""

    def __init__(self, session: lagrad.Session, model: nn.Module) -> None:
        super().__init__()
        self.session, self.model = session, session.wrap(model)

    def training_step(self, dataloader_iter: Iterator[Any]) -> Tensor:
        """The loss of the next batch; Lightning would draw it before the last step was taken."""
        (x, y), _, _ = next(dataloader_iter)
        return functional.cross_entropy(self.model(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The server's."""
        return self.session.optimizer(rules.default_rule(self.session.workers, lr=0.04))


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--images", type=int, default=60_000)
options = parser.parse_args()
torch.manual_seed(0)
images, labels = mnist(train=True)
test_images, test_labels = mnist(train=False)
train_set = data.TensorDataset(images[: options.images], labels[: options.images])
session = lagrad.join()
module = Classifier(session, LeNet())
trainer = lightning.Trainer(
    max_epochs=options.epochs,
    callbacks=[EndsWithTheRun(session)],
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(module, Leased(session, train_set, 256))
module.model.load_state_dict(session.state_dict())
with torch.no_grad():
    right = int((module.model(test_images[:2000]).argmax(1) == test_labels[:2000]).sum())
print(f"test accuracy {right / 2000:.4f}")
