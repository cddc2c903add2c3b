"""Hogwild, as torch.multiprocessing's example does it."""

from torch import Tensor

from ._load import Load, Measured
from ._together import Member, together


def hogwild(load: Load) -> Measured:
    """One model in shared memory, an optimizer for each process.

    Every process steps on the shared parameters without a lock; its momentum is its own.
    Source: pytorch/examples, mnist_hogwild.
    """
    shared = load.model().share_memory()
    return together(_Hogwild, load, [parameter.data for parameter in shared.parameters()])


class _Hogwild(Member):
    def __init__(self, load: Load, worker: int, shared: list[Tensor]) -> None:
        super().__init__(load, worker)
        for own, common in zip(self.model.parameters(), shared, strict=True):
            own.data = common

    def step(self) -> None:
        """On what all share."""
        self.backward()
        self.optimizer.step()
        self.watch.look(self.model)
