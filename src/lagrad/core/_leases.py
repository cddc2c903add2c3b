"""Which samples a gradient is computed on: leases, handed out and taken back by the server."""

import heapq
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import torch
from torch import Tensor


class Lease(msgspec.Struct, frozen=True, gc=False):
    """The samples of one gradient: positions [start, stop) of the shuffled order of an epoch.

    number: unique in the run. A stream without end has one position per lease, in epoch 0.

    >>> Lease(number=7, epoch=0, start=0, stop=256).samples
    256
    """

    number: int
    epoch: int
    start: int
    stop: int

    @property
    def samples(self) -> int:
        """How many samples the lease names."""
        return self.stop - self.start

    def indices(self, order: Tensor) -> Tensor:
        """The sample indices, given the epoch's `order` (see `shuffled_order`); int64."""
        return order[self.start : self.stop]


def shuffled_order(num_samples: int, *, seed: int, epoch: int) -> Tensor:
    """The order in which epoch `epoch` visits the samples: int64 [num_samples].

    A pure function of (seed, epoch), so that a worker finds its samples from a lease alone.

    >>> sorted(shuffled_order(4, seed=0, epoch=1).tolist())
    [0, 1, 2, 3]
    """
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(num_samples, generator=generator)


@dataclass
class LeaseBook:
    """Hands out each sample of each epoch once, and takes leases back.

    num_samples: size of the data set, or None for a stream without end.
    Returned leases are handed out first, oldest first, so that an epoch completes.
    settled_samples: by epoch, of those that are not complete, so that a long run's book is no
    longer than a short one's. failures: of leases that are not settled, how many workers failed
    over them. set_aside: those that were given up for it.
    """

    num_samples: int | None
    batch_size: int = 1
    outstanding: dict[int, Lease] = field(default_factory=dict)
    settled_samples: Counter[int] = field(default_factory=Counter)
    failures: Counter[int] = field(default_factory=Counter)
    set_aside: list[Lease] = field(default_factory=list)
    _settled: int = 0
    _complete: int = 0
    _returned: list[tuple[int, Lease]] = field(default_factory=list)
    _next_number: int = 0
    _epoch: int = 0
    _position: int = 0

    def issue(self, batch_size: int | None = None) -> Lease:
        """The next lease: a returned one if there is any, else the next samples of the epoch.

        batch_size: of a new one, None for the book's; a stream's is one batch, whatever its size.
        """
        if self._returned:
            _, lease = heapq.heappop(self._returned)
        else:
            lease = self._cut(batch_size or self.batch_size)
        self.outstanding[lease.number] = lease
        return lease

    def _cut(self, batch_size: int) -> Lease:
        number = self._next_number
        self._next_number += 1
        if self.num_samples is None:
            return Lease(number, 0, number, number + 1)
        if self._position >= self.num_samples:
            self._epoch += 1
            self._position = 0
        start = self._position
        self._position = min(start + batch_size, self.num_samples)
        return Lease(number, self._epoch, start, self._position)

    def settle(self, lease: Lease) -> None:
        """The lease's gradient was applied, or will never be: its samples are done."""
        del self.outstanding[lease.number]
        self.failures.pop(lease.number, None)
        self.settled_samples[lease.epoch] += lease.samples
        self._settled += lease.samples
        if self.settled_samples[lease.epoch] == self.num_samples:
            del self.settled_samples[lease.epoch]
            self._complete += 1

    def give_back(self, lease: Lease) -> None:
        """The lease's gradient will not come or was dropped: somebody else shall compute it."""
        del self.outstanding[lease.number]
        heapq.heappush(self._returned, (lease.number, lease))

    def fail(self, lease: Lease, *, attempts: int | None) -> int | None:
        """A worker failed over the lease: somebody else shall compute it, or nobody any more.

        attempts: so many failures, and it is set aside, its samples done; None: never.
        Returns: the number of failures if it was set aside, else None.

        >>> book = LeaseBook(None)
        >>> [book.fail(book.issue(), attempts=2) for _ in range(2)], book.issue().number
        ([None, 2], 1)
        """
        failures = self.failures[lease.number] + 1
        if attempts is None or failures < attempts:
            self.failures[lease.number] = failures
            self.give_back(lease)
            return None
        self.settle(lease)
        self.set_aside.append(lease)
        return failures

    def returned(self) -> list[Lease]:
        """Leases that wait to be handed out again, in no particular order."""
        return [lease for _, lease in self._returned]

    @property
    def epochs_settled(self) -> float:
        """Samples settled so far in units of the data set (0 for a stream)."""
        return self.epochs_with(0)

    def epochs_with(self, samples: int) -> float:
        """Likewise, once so many more are settled."""
        if self.num_samples is None:
            return 0.0
        return (self._settled + samples) / self.num_samples

    def check(self) -> None:
        """Assert that every sample cut so far is settled, outstanding or waiting, exactly once."""
        complete = self._complete * (self.num_samples or 0)
        assert self._settled == self.settled_samples.total() + complete
        assert sum(lease.samples for lease in self.set_aside) <= self._settled
        held = Counter[int]()
        numbers = set(self.outstanding)
        open_numbers = numbers | {number for number, _ in self._returned}
        assert self.failures.keys() <= open_numbers, "failures over a lease that is settled"
        for lease in [*self.outstanding.values(), *self.returned()]:
            held[lease.epoch] += lease.samples
        for number, _ in self._returned:
            assert number not in numbers, f"lease {number} is both outstanding and returned"
        if self.num_samples is None:
            assert held[0] + self.settled_samples[0] == self._next_number
            return
        under_way = held.keys() | self.settled_samples.keys()
        begun = self._epoch + (self._position > 0)
        assert begun == self._complete + len(under_way), "an epoch is missing"
        for epoch in under_way:
            cut = self.num_samples if epoch < self._epoch else self._position
            assert held[epoch] + self.settled_samples[epoch] == cut, f"samples of epoch {epoch}"
