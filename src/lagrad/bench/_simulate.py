"""What a gradient costs in the simulator, one by one and computed together."""

import dataclasses
import time
from functools import partial

from lagrad.delays import ShiftedExponential
from lagrad.policies import Asynchronous
from lagrad.rules import SGD
from lagrad.runtimes import Setup, Simulator, Stopped, Until
from lagrad.tasks import Task, quadratic, softmax_mnist

from ._harness import Row, in_turns, spread


def simulate(
    *, workers: tuple[int, ...] = (100, 1000, 10_000), updates: int = 2000, rounds: int = 5
) -> list[Row]:
    """Processor time per update of asynchronous runs, without evaluations.

    The plain loop is the simulator as it is by default: one gradient after the other by autograd,
    one event after the other. lagrad is the same run with as many gradients computed together as
    there are workers. updates: of each run, and at least ten for each worker, so that what a run
    begins with (workers join, their streams of job times are seeded) has the part of it that it
    has in a short experiment. The delays are shifted exponential. A ratio is of two neighbours in
    the turns, the plain loop's time over the other's.
    """
    tasks = {
        "quadratic, 20 parameters": quadratic(noise=0.1),
        "softmax, 7850 parameters, batch 8": softmax_mnist(batch_size=8),
    }
    rows: list[Row] = []
    for name, task in tasks.items():
        for together in (1, 2):  # what is imported or made at the first use is not measured
            _us_per_update(task, 2, together, 2)
        for count in workers:
            found = in_turns(
                {
                    system: partial(_us_per_update, task, count, together, max(updates, 10 * count))
                    for system, together in (("plain loop", 1), ("lagrad", count))
                },
                rounds=rounds,
            )
            plain = found["plain loop"]
            for system, figures in found.items():
                ratios = [a / b for a, b in zip(plain, figures, strict=True)]
                rows.append(
                    {
                        "system": system,
                        "task": name,
                        "workers": count,
                        "together": 1 if system == "plain loop" else count,
                        **spread("us_per_update", figures),
                        **spread("ratio_to_plain", ratios),
                    }
                )
    return rows


def _us_per_update(task: Task, workers: int, together: int, updates: int) -> float:
    setup = Setup(
        task=dataclasses.replace(task, evaluate=None),
        rule=SGD(lr=1e-6),
        policy=Asynchronous(),
        workers=workers,
        until=Until(updates=updates),
        delays=ShiftedExponential(),
        evaluate_every=1e9,
    )
    began = time.process_time()
    result = Simulator(together=together).run(setup)
    seconds = time.process_time() - began
    if result.stopped is not Stopped.BUDGET:  # by Ctrl+C, or whoever ends processes in time
        raise KeyboardInterrupt
    return 1e6 * seconds / updates
