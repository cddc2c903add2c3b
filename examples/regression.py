"""In the style of PyTorch's own examples: functions to train and test, a loader, a scheduler.

python examples/regression.py
lagrad run --workers 3 --delays stragglers examples/regression.py

The loader stays as it was: every worker draws batches of its own from the whole data set.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

import lagrad
from lagrad import rules


def train(args, model, batches, optimizer, epoch):
    """One epoch."""
    model.train()
    for batch_idx, (data, target) in enumerate(batches):
        optimizer.zero_grad()
        loss = functional.mse_loss(model(data), target)
        loss.backward()
        optimizer.step()
        if batch_idx % args.log_interval == 0:
            print(f"Train Epoch: {epoch} [{batch_idx}]\tLoss: {loss:.3f}")


def test(model, test_loader):
    """Mean loss over the test set."""
    model.eval()
    with torch.no_grad():
        losses = [functional.mse_loss(model(data), target) for data, target in test_loader]
    print(f"Test set: Average loss: {torch.stack(losses).mean():.3f}")


def main():
    """Settings, then epochs."""
    parser = argparse.ArgumentParser(description="Fit a wave")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--gamma", type=float, default=0.8, help="of the scheduler")
    parser.add_argument("--log-interval", type=int, default=16)
    args = parser.parse_args()

    torch.manual_seed(1)
    x = torch.rand(2560, 2) * 4 - 2
    y = torch.sin(x[:, :1] + x[:, 1:]) + 0.1 * torch.randn(2560, 1)
    train_loader = DataLoader(TensorDataset(x[512:], y[512:]), args.batch_size, shuffle=True)
    test_loader = DataLoader(TensorDataset(x[:512], y[:512]), args.batch_size)

    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 1))
    session = lagrad.join()
    model = session.wrap(model)
    optimizer = session.optimizer(rules.default_rule(session.workers, lr=args.lr))
    scheduler = StepLR(optimizer, step_size=1, gamma=args.gamma)
    for epoch in range(1, args.epochs + 1):
        train(args, model, session.batches(train_loader), optimizer, epoch)
        test(model, test_loader)
        scheduler.step()


if __name__ == "__main__":
    main()
