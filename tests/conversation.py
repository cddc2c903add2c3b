"""A server to talk to: workers that join, pull and push by hand."""

import torch

from lagrad.core import Join, Layout, LeaseBook, Leave, Pull, Push, Send, Server, Tick, Verdict
from lagrad.rules import SGD

SIZE = 3
LAYOUT = Layout(("x",), ((SIZE,),), torch.float64)


class Conversation:
    """Feeds a server and remembers what each worker was sent and each push was told."""

    def __init__(self, policy, *, rule=None, num_samples=None, batch_size=1, **options):
        self.server = Server(
            torch.zeros(SIZE, dtype=torch.float64),
            layout=LAYOUT,
            rule=SGD(lr=1.0) if rule is None else rule,
            policy=policy,
            leases=LeaseBook(num_samples, batch_size),
            **options,
        )
        self.sent = {}
        self.lives = {}
        self.sequences = {}
        self.verdicts = []
        self.time = 0.0

    def handle(self, event):
        commands = self.server.handle(event)
        kinds = [isinstance(command, Send) for command in commands]
        assert kinds == sorted(kinds), "a Send came before a Verdict"
        for command in commands:
            if isinstance(command, Send):
                assert command.version == self.server.version
                self.sent[command.worker] = command
            elif isinstance(command, Verdict):
                self.verdicts.append(command)
        self.server.check()
        return commands

    def join(self, *workers, pull=True):
        for worker in workers:
            self.lives[worker] = self.lives.get(worker, -1) + 1
            self.sequences[worker] = 0
            self.handle(Join(worker=worker, incarnation=self.lives[worker], time=self.time))
        return [self.pull(worker) for worker in workers] if pull else []

    def pull(self, worker):
        self.handle(Pull(worker=worker, incarnation=self.lives[worker], time=self.time))
        return self.sent.get(worker)

    def push(self, worker, /, values=1.0, **changes):
        """Push what the worker was last sent; returns the verdicts of this answer."""
        sent = self.sent.pop(worker)
        known = len(self.verdicts)
        fields = {
            "worker": worker,
            "incarnation": self.lives[worker],
            "sequence": self.sequences[worker],
            "version": sent.version,
            "lease": sent.lease.number,
            "values": torch.full((SIZE,), float(values), dtype=torch.float64)
            if not isinstance(values, torch.Tensor)
            else values,
            "time": self.time,
        }
        self.sequences[worker] += 1
        self.handle(Push(**{**fields, **changes}))
        return self.verdicts[known:]

    def leave(self, worker, *, failed=False):
        self.sent.pop(worker, None)
        life = self.lives[worker]
        return self.handle(Leave(worker=worker, incarnation=life, time=self.time, failed=failed))

    def tick(self, time):
        self.time = time
        known = len(self.verdicts)
        self.handle(Tick(time=time))
        return self.verdicts[known:]

    @property
    def x(self):
        return self.server.params[0].item()

    @property
    def held(self):
        return set(self.server.ledger.held)


def outcomes(verdicts):
    return [(verdict.worker, verdict.outcome.value) for verdict in verdicts]
