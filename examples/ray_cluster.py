"""LeNet's smaller sister on a Ray cluster of this machine, while a worker dies.

    python examples/ray_cluster.py

Softmax regression, three workers of which one is slower, the server in two shards; after a
hundred updates a worker is killed. Needs `pip install 'lagrad[ray]'`.
"""

import os
import signal

import lagrad
from lagrad import delays, rules, runtimes


class Killer:
    """An observer: kills worker 1 once."""

    killed = False

    def __call__(self, run: runtimes.Run) -> None:
        """Look whether it is time."""
        if not self.killed and run.server.version >= 100 and 1 in run.processes:
            self.killed = True
            os.kill(run.processes[1], signal.SIGKILL)


def main() -> None:
    """Train, and say what happened."""
    result = lagrad.train(
        "softmax-mnist",
        rule=rules.default_rule(3, lr=0.05),
        runtime=runtimes.Ray(servers=2, seconds_per_job=0.02),
        delays=delays.Factors(((0, 4.0),)),
        workers=3,
        until=lagrad.Until(updates=1500),
        observe=Killer(),
    )
    print(f"{result.updates} updates in {result.seconds:.1f} s, scores {result.scores}")
    print(*result.failures, sep="\n")


if __name__ == "__main__":
    main()
