"""A process that runs out of one thing after another, and says what its runs said.

python short_of.py FOLDER: prints one JSON object, a value for each shortage.
"""

import gc
import json
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path

import torch
from torch import nn

import small_tasks
from lagrad import rules, train
from lagrad._forking import begin_forking
from lagrad.runtimes import Local, RunFailed, Simulator, Until
from lagrad.sessions import Launch, _door, launch

SCRIPT = """
import torch, lagrad
from torch import nn
from lagrad import rules
session = lagrad.join()
model = session.wrap(nn.Linear(1, 1))
optimizer = session.optimizer(rules.SGD(lr=0.01))
x = torch.linspace(-1, 1, 64)[:, None]
while not session.finished:
    for a, b in session.batches((x, 2 * x), batch_size=4):
        optimizer.zero_grad()
        ((model(a) - b) ** 2).mean().backward()
        session.log(note=1.0)
        optimizer.step()
"""


@contextmanager
def at_most(what: int, limit: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(small_tasks.FEATURES, 5000), nn.Linear(5000, 3))


def descriptors() -> list[str]:
    """Where the descriptors of this process lead."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue  # that of the listing
    return found


def shared() -> list[str]:
    """What of this process has a name in shared memory, where other runs have theirs, too."""
    of_torch = Path("/dev/shm").glob(f"torch_{os.getpid()}_*")
    doors = Path(str(_door._shared_memory())).glob("lagrad-*")
    return [str(path) for place in (of_torch, doors) for path in place]


def told(run: partial, out: Path | None) -> dict[str, object]:
    """What a run said, and what it left."""
    gc.collect()
    files = descriptors()
    try:
        words, kind = str(run().stopped), "ended"
    except (RunFailed, OSError) as error:
        words, kind = str(error), type(error).__name__
    gc.collect()
    left = (
        {}
        if out is None or not out.is_dir()
        else {str(path.relative_to(out)): path.stat().st_size for path in out.rglob("*")}
    )
    return {
        "words": words,
        "kind": kind,
        "left": left,
        "processes": len(multiprocessing.active_children()),
        "shared": shared(),
        "files": sorted(set(descriptors()) - set(files)),
    }


def main(folder: Path) -> dict[str, object]:
    small = partial(train, small_tasks.blobs, rule=rules.SGD(lr=0.01), workers=2)
    simulator, local = Simulator(), Local(seconds_per_job=0.001)
    found: dict[str, object] = {}
    # Python's own, which stays, and keeps a descriptor of ours.
    # Each process has one of both, as long as it lives.
    resource_tracker.ensure_running()
    begin_forking()
    with at_most(resource.RLIMIT_FSIZE, 60_000):
        for name, runtime in (("simulator", simulator), ("local", local)):
            out = folder / name
            endless = partial(small, runtime=runtime, until=Until(updates=10**6), out=out)
            found[f"disk, {name}"] = told(endless, out)
        script = folder / "train.py"
        script.write_text(SCRIPT)
        out = folder / "sessions"
        terms = Launch(script=script, workers=1, until=Until(updates=10**6), out=out)
        found["disk, sessions"] = told(partial(launch, terms, echo=lambda worker, line: None), out)
        big = small_tasks.make(model=wide, evaluate=None)
        found["shared memory"] = told(
            partial(train, big, runtime=local, workers=2, until=Until(updates=9)), None
        )
    end = partial(small, runtime=simulator, until=Until(updates=60), out=folder / "end")
    with at_most(resource.RLIMIT_FSIZE, 4_000):
        found["disk, at the end"] = told(end, folder / "end")
    spare = len(os.listdir("/proc/self/fd")) + 25
    with at_most(resource.RLIMIT_NOFILE, spare):
        out = folder / "descriptors"
        many = partial(
            train,
            small_tasks.blobs,
            rule=rules.SGD(lr=0.01),
            runtime=local,
            workers=9,
            until=Until(updates=9),
            out=out,
        )
        found["descriptors"] = told(many, out)
    nowhere = partial(small, runtime=simulator, until=Until(updates=9), out="/proc/lagrad/run")
    found["folder"] = told(nowhere, None)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as doors:
        _door._shared_memory = lambda: doors
        print(json.dumps(main(Path(sys.argv[1]))))
