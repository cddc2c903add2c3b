"""examples/lenet.py under DistributedDataParallel (gloo), rank 0 slow; for script_and_ddp.py.

The slow rank sleeps where the last of its gradients is there, (factor - 1) times as long as its
forward and backward pass took, before that bucket is reduced.
"""

import argparse
import time

import torch
import torch.distributed
from torch import Tensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils import data

from lagrad.tasks import LeNet, mnist


def main() -> None:
    """Train, and print the seconds and the accuracy on rank 0."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--factor", type=float, default=4.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()

    torch.manual_seed(0)
    images, labels = mnist(train=True)
    train_set = data.TensorDataset(images[: options.images], labels[: options.images])
    test_images, test_labels = mnist(train=False)
    lenet = LeNet()
    began = 0.0

    def sleep(gradient: Tensor) -> Tensor:
        time.sleep((options.factor - 1) * (time.monotonic() - began))
        return gradient

    if rank == 0:
        lenet.conv1.weight.register_hook(sleep)  # type: ignore[no-untyped-call]
    model = DistributedDataParallel(lenet)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02 * ranks, momentum=0.8)
    sampler: data.DistributedSampler[tuple[Tensor, ...]] = data.DistributedSampler(train_set)
    torch.distributed.barrier()
    started = time.monotonic()
    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)
        for x, y in data.DataLoader(train_set, batch_size=256, sampler=sampler):
            optimizer.zero_grad()
            began = time.monotonic()
            functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            found = torch.cat([lenet(x).argmax(1) for x in torch.split(test_images, 1000)])
            accuracy = (found == test_labels).float().mean().item()
    if rank == 0:
        print(f"seconds {time.monotonic() - started:.2f} accuracy {accuracy:.4f}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
