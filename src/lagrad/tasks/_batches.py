"""The batches of leases."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from lagrad.core import Lease, shuffled_order

from ._data import Samples, Stream
from ._moved import moved
from ._seeding import lease_seed, seeded


class Batches:
    """Draws the batch of a lease, a pure function of (data, seed, lease).

    batch_size: of a full lease. device: where batches are wanted; None: where they are drawn.

    >>> batches = Batches(Samples((torch.arange(4.0),)), seed=0, batch_size=2)
    >>> whole = [x.tolist() for lease in batches.first(9) for x in batches.draw(lease)]
    >>> sorted(sum(whole, []))
    [0.0, 1.0, 2.0, 3.0]
    """

    def __init__(
        self,
        data: Samples | Stream,
        *,
        seed: int,
        batch_size: int,
        device: torch.device | None = None,
    ) -> None:
        self._data, self._seed, self._size, self._device = data, seed, batch_size, device
        self._orders: dict[int, Tensor] = {}
        self._own = torch.Generator()

    def seeding(self, lease: Lease) -> AbstractContextManager[None]:
        """A block in which torch's generators are the lease's: code that is not ours runs there."""
        return seeded(lease_seed(self._seed, lease.number), self._device)

    def draw(self, lease: Lease) -> Any:
        """The batch of a lease; `seeding` is for the caller to begin."""
        if isinstance(self._data, Samples):
            batch = self._data.batch(lease.indices(self._order(self._data, lease.epoch)))
        else:
            batch = self._data.draw(self._generator(lease))
        return moved(batch, self._device)

    def draw_all(self, leases: Sequence[Lease]) -> Any:
        """The batches of leases of one size, stacked; None where they have none."""
        data = self._data
        if isinstance(data, Samples) and data.are_tensors:
            chosen = [lease.indices(self._order(data, lease.epoch)) for lease in leases]
            batch = moved(data.batch(torch.cat(chosen)), self._device)
            return tuple(part.unflatten(0, (len(leases), -1)) for part in batch)
        if isinstance(data, Stream) and data.draw_all is not None:
            return moved(data.draw_all(map(self._generator, leases), len(leases)), self._device)
        if isinstance(data, Stream):
            batches = [self.draw(lease) for lease in leases]
        else:
            batches = []
            for lease in leases:
                with self.seeding(lease):
                    batches.append(self.draw(lease))
        return None if all(batch is None for batch in batches) else default_collate(batches)

    def first(self, num_batches: int) -> list[Lease]:
        """The first leases of epoch 0, fewer if the data set is smaller."""
        if self._data.num_samples is None:
            return [Lease(i, 0, i, i + 1) for i in range(num_batches)]
        size, samples = self._size, self._data.num_samples
        starts = range(0, samples, size)[:num_batches]
        # A short last batch has unsettled statistics, yet would count as much as a full one.
        full = [s for s in starts if s + size <= samples] or [0]
        return [Lease(i, 0, s, min(s + size, samples)) for i, s in enumerate(full)]

    def _generator(self, lease: Lease) -> torch.Generator:
        # One for all leases: seeding it anew is cheaper than making one.
        return self._own.manual_seed(lease_seed(self._seed, lease.number, purpose=1))

    def _order(self, samples: Samples, epoch: int) -> Tensor:
        if epoch not in self._orders:
            if len(self._orders) > 1:  # two are kept: leases of two epochs mix where one ends
                del self._orders[min(self._orders)]
            self._orders[epoch] = shuffled_order(len(samples), seed=self._seed, epoch=epoch)
        return self._orders[epoch]
