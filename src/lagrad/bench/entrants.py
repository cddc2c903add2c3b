"""Who is raced to a test accuracy, and with what numbers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lagrad.core import Policy, Rule
from lagrad.delays import Factors
from lagrad.policies import Asynchronous, BackupWorkers, Synchronous
from lagrad.rules import Momentum, default_rule, multi_asgd
from lagrad.runtimes import Local, Run, Setup, Stopped, Until
from lagrad.tasks import Samples

from .peers import PEERS, Load, Measured, Snapshot

WORKERS = 4
#: Pairs (worker, how many times as long as its computation a gradient takes): machines of four
#: speeds, the slowest a quarter of the fastest. All sleep, so that four of them fit on two cores
#: and it is the clock that is raced, not the processor.
SLOW = ((0, 8.0), (1, 4.0), (2, 3.0), (3, 2.0))
TARGET = 0.985
BATCH_SIZE = 256

#: Every pair is tried for every entrant, with one seed, by benchmarks/tune_train.py.
LEARNING_RATES = (0.02, 0.05, 0.1, 0.2, 0.4)
MOMENTA = (0.5, 0.8)


@dataclass(frozen=True)
class Entrant:
    """A way to train.

    policy, rule: what it is in lagrad's words; the rule from learning rate and momentum. lr,
    momentum: as tuned. peer: its name in `PEERS`, "" for lagrad's own local processes.
    """

    name: str
    policy: Policy
    rule: Callable[[float, float], Rule]
    lr: float
    momentum: float
    peer: str = ""

    def missing(self) -> str:
        """What has to be installed first, in words, or ""."""
        return PEERS[self.peer].missing() if self.peer else ""

    def carry(self, load: Load) -> Measured:
        """The load, with this entrant's numbers."""
        tuned = replace(load, lr=self.lr, momentum=self.momentum)
        return PEERS[self.peer].carry(tuned) if self.peer else self._locally(tuned)

    def _locally(self, load: Load) -> Measured:
        task = replace(load.find(), evaluate=None)
        data = task.data()
        assert isinstance(data, Samples)
        snapshots: list[Snapshot] = []

        def watch(run: Run) -> None:
            assert load.watch_every is not None
            if run.now >= (snapshots[-1][0] if snapshots else 0.0) + load.watch_every:
                snapshots.append((run.now, run.params().numpy().copy()))

        epochs = None if load.gradients is None else load.gradients * task.batch_size / len(data)
        setup = Setup(
            task=task,
            rule=self.rule(load.lr, load.momentum),
            policy=self.policy,
            workers=load.workers,
            until=Until(seconds=load.seconds, epochs=epochs),
            seed=load.seed,
            delays=Factors(load.slow),
            evaluate_every=1e9,
        )
        result = Local().run(setup, observe=None if load.watch_every is None else watch)
        if result.stopped is Stopped.INTERRUPTED:
            raise KeyboardInterrupt
        return Measured(result.verdicts.total() / result.seconds, snapshots)


def _heavy_ball(lr: float, momentum: float) -> Rule:
    return Momentum(lr=lr, momentum=momentum)


def _momentum_each(lr: float, momentum: float) -> Rule:
    return multi_asgd(lr=lr, momentum=momentum)


def _default(lr: float, momentum: float) -> Rule:
    return default_rule(WORKERS, lr=lr, momentum=momentum)


ENTRANTS = (
    Entrant("lagrad", Asynchronous(), _default, 0.2, 0.8),
    Entrant("backup-workers", BackupWorkers(1), _heavy_ball, 0.1, 0.8),
    Entrant("ddp-gloo", Synchronous(), _heavy_ball, 0.1, 0.8, peer="gloo"),
    Entrant("hogwild", Asynchronous(), _momentum_each, 0.05, 0.5, peer="hogwild"),
    *(
        Entrant(name, Asynchronous(), _heavy_ball, 0.05, 0.5, peer=name)
        for name in ("rpc", "ray-example", "mpi")
    ),
)
