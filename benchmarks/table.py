"""The newest result file of each benchmark of `lagrad bench`, as docs/benchmarks.md.

python benchmarks/table.py
"""

import json
import os
from pathlib import Path

from lagrad.bench import table
from machine import RESULTS

OUT = Path(__file__).parent.parent / "docs" / "benchmarks.md"

ABOUT = """\
# Benchmarks

Made by `python benchmarks/table.py` from the newest files in `benchmarks/results/`, which
`lagrad bench NAME --out benchmarks/results` writes. What is measured takes turns, round by round; a
figure is the median of the rounds, with the lowest and the highest in brackets. A ratio is of
neighbours in the turns: *lagrad ratio* says how many times as fast lagrad is as the system of that
row. What the figures teach is in [performance](performance.md).

## The peers

Each is our own writing of what its documentation shows, in `src/lagrad/bench/peers/`; a test
compares one worker of each with `torch.optim.SGD`. All get the same task, samples, slow workers
and optimizer (heavy ball of `torch.optim.SGD`).

- **hogwild** (`_hogwild.py`): torch.multiprocessing's example: one model in shared memory, which
  every process steps on without a lock. There is neither a server nor an order; each process has a
  momentum of its own.
- **gloo** (`_gloo.py`): DistributedDataParallel over gloo. Everybody waits for everybody; a step
  counts as many updates as it averages gradients.
- **rpc** (`_rpc.py`): the asynchronous parameter server of torch.distributed.rpc's tutorials, over
  TensorPipe.
- **ray-example** (`_ray.py`): the asynchronous part of "Parameter Server" in Ray's documentation:
  actors, NumPy arrays through the object store.
- **mpi** (`_mpi.py`, `_mpi_ranks.py`): a server on rank 0 that steps on gradients as they come, one
  message per parameter and way, with mpi4py over Open MPI, as the authors of the 2017 note built
  theirs (which waited for all workers).

Ray and mpi4py come with `pip install 'lagrad[peers]'`, Open MPI with
`apt-get install openmpi-bin libopenmpi-dev`."""

#: What is measured and how, by the names of the benchmarks, in the order of the document.
HOW = {
    "push": """\
Full float32 vectors there and back, gradients that cost next to nothing, by the clock. The limit is
what the memory moves in the same round: the bytes of copies by all cores, over 28 bytes per
parameter and update.""",
    "train": """\
LeNet on MNIST, batches of 256, two workers on two cores, beside two bare processes that compute the
same gradients in alternating bursts. The limit is the bare gradients. The processor time is that of
server and workers together.""",
    "race": """\
LeNet on MNIST, batches of 256, to 98.5 % test accuracy by the clock, four workers of which the
slowest takes four times as long as the fastest, the others twice and one and a half times. All
sleep at least as long as they compute, so that four fit on two cores. Each entrant was tuned on the
same ten pairs of learning rate and momentum, with one seed, in the simulator
(`python benchmarks/tune_train.py`), where most of the asynchronous heavy balls diverged; nobody has
a warm-up or averaged weights. Parameters are copied twice a second; every sixth copy is scored
afterwards until one has the target, then the five before it, so that who only touched the target
between two of them counts as not there. lagrad takes its defaults: the default rule, which clips
gradients, asynchronous. The others clip nothing. Who has not reached the target had 1,000
gradients, as all, or 240 s. The load average is of the scoring, after the race; nothing else ran
beside it.""",
    "simulate": """\
Processor time of the simulator's asynchronous runs. The plain loop is the default: one gradient
and one event after the other. lagrad is `Simulator(together=workers)`, the same run but for
rounding.""",
    "server": """\
Pushes and pulls a second of the server alone, a vector of eight numbers, processor time.""",
}


def section(name: str) -> str:
    """What was measured, how, where; the table; the figure, if there is one."""
    newest = max(RESULTS.glob(f"{name}-[0-9]*.json"), default=None)
    if newest is None:
        return ""
    found = json.loads(newest.read_text())
    terms = ("date", "machine", "load_average_1_min", "python", "torch", "ray", "mpi4py", "mpirun")
    where = ", ".join(f"{t.replace('_', ' ')} {found[t]}" for t in terms if found.get(t))
    parts = [f"## {name}", HOW[name], f"`{found['command']}`: {where}.", table(found["figures"])]
    figure = newest.with_suffix(".png")
    if figure.is_file():
        parts.append(f"![{name}]({os.path.relpath(figure, OUT.parent)})")
    return "\n\n".join(parts)


def main() -> None:
    sections = [section(name) for name in HOW]
    OUT.write_text("\n\n".join([ABOUT, *filter(None, sections)]) + "\n")


if __name__ == "__main__":
    main()
