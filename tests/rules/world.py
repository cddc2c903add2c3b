"""A small asynchronous world in which a rule and its reference, or two rules, go side by side.

Gradients are noisy linear functions of what a worker was sent, so that an error in what is sent
shows in all that follows.
"""

import numpy as np
import torch

from lagrad.core import Gradient, Layout
from rules import reference as plain

DIMENSION = 5
LAYOUT = Layout(("x",), ((DIMENSION,),), torch.float64)


class World:
    """n workers and a noisy linear gradient at what each was sent."""

    def __init__(self, n, seed):
        self.random = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(self.random.normal(size=(DIMENSION, DIMENSION)))
        self.matrix = turn @ np.diag(np.geomspace(0.1, 1.0, DIMENSION)) @ turn.T
        self.start = 2 * self.random.normal(size=DIMENSION)
        self.read, self.version = [0] * n, 0

    def noise(self):
        return 0.3 * self.random.normal(size=DIMENSION)

    def gradient(self, sent, noise):
        return self.matrix @ sent + noise

    def ahead(self):
        """What the server expects to pass until the next arrival: no whole number."""
        return (len(self.read) - 1) * (1 + 0.3 * np.sin(self.version))


class Ours:
    """A rule, its parameters and what it sent to each worker."""

    def __init__(self, world, rule):
        self.world, self.rule, self.x = world, rule, torch.tensor(world.start)
        self.state = rule.init(self.x, LAYOUT)
        self.sent = [self.point()] * len(world.read)

    def point(self):
        ahead = self.world.ahead() if self.rule.looks_ahead else 0.0
        return self.rule.point(
            self.x, self.state, version=self.world.version, expected_tau=ahead
        ).clone()

    def step(self, arrivals):
        gradients = [
            Gradient(
                worker=worker,
                tau=self.world.version - self.world.read[worker],
                samples=samples,
                values=torch.from_numpy(self.world.gradient(self.sent[worker].numpy(), noise)),
                snapshot=self.sent[worker] if self.rule.needs_snapshots else None,
            )
            for worker, samples, noise in arrivals
        ]
        self.rule.apply(self.x, self.state, gradients, version=self.world.version)


class Theirs:
    """A reference and what it sent to each worker."""

    def __init__(self, world, reference):
        self.world, self.reference = world, reference
        self.sent = [self.point()] * len(world.read)

    def point(self):
        return self.reference.point(self.world.ahead())

    def step(self, arrivals):
        self.reference.step(
            [
                plain.Arrival(
                    worker=worker,
                    tau=self.world.version - self.world.read[worker],
                    g=self.world.gradient(self.sent[worker], noise),
                    sent=self.sent[worker],
                    samples=samples,
                )
                for worker, samples, noise in arrivals
            ]
        )


def turn(world, sides, step):
    """The workers of `step` deliver to each side, which then sends them where it is."""
    arrivals = [(worker, 1 + worker if len(step) > 1 else 1, world.noise()) for worker in step]
    for side in sides:
        side.step(arrivals)
    world.version += 1
    for side in sides:
        point = side.point()
        for worker in step:
            side.sent[worker] = point
    for worker in step:
        world.read[worker] = world.version


def assert_same(ours, theirs, *, rtol=1e-9):
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)
