"""A run on Ray whose server has died goes on; what shards held is put together at one version.

More of it is in test_ray_in_threads.py.
"""

import json
import os
import resource
import signal
from functools import partial

import pytest

from crash import proved_after_death
from lagrad import policies, resume, rules, train
from lagrad.runtimes import (
    Keeping,
    Ray,
    RunFailed,
    Stopped,
    Until,
)
from lagrad.runtimes.ray import _crew
from lagrad_command import Command
from proved import prove
from small_tasks import sliceable

pytest.importorskip("ray")

pytestmark = [
    pytest.mark.experiments,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore"),
]


def go(out, *, servers, keeping, updates=80, **options):
    return train(
        sliceable,
        rule=rules.default_rule(2, lr=0.01),
        policy=policies.KAsync(2),
        runtime=Ray(servers=servers, seconds_per_job=0.01),
        workers=2,
        until=Until(updates=updates),
        ema=0.9,
        keeping=keeping,
        out=out,
        **options,
    )


@pytest.mark.parametrize(("servers", "durability"), [(1, "every-step"), (2, "interval")])
def test_a_run_whose_server_has_died_goes_on(nodes, tmp_path, servers, durability):
    out = tmp_path / "run"
    begin = partial(go, out, servers=servers)
    assert proved_after_death(begin, out, sliceable, durability).updates == 80


def test_a_run_in_shards_goes_on_beyond_its_end_and_again(nodes, tmp_path):
    out = tmp_path / "run"
    faults = ("drop:p=0.1", "duplicate:p=0.1", "nan:p=0.05", "kill:worker=0,at=0.01s")

    def observe(run):
        if run.newest.get(0) == 1 and run.server.version >= 30:
            run.stop(Stopped.BUDGET)  # it was killed, and is back: Ray's word for it takes a while

    kept = Keeping(every=0.05)
    result = go(out, servers=2, keeping=kept, updates=10**6, chaos=faults, observe=observe)
    for more in (1, 30):
        wanted = result.updates + more
        result = resume(out, until=Until(updates=wanted), task=sliceable)
        assert result.updates == wanted
    prove(out, sliceable)


def test_checkpoints_go_on_where_a_shard_is_lost(nodes, tmp_path, monkeypatch):
    out, crews, killed = tmp_path / "run", [], []
    made = _crew.Crew.__init__

    def make(self, *arguments):
        made(self, *arguments)
        crews.append(self)

    def observe(run):
        if run.server.version >= 20 and not killed:
            first = crews[0].shards.keepers[0][0].holder
            process = int(first.points.split("/")[2])
            killed.append(process)
            os.kill(process, signal.SIGKILL)

    monkeypatch.setattr(_crew.Crew, "__init__", make)
    result = go(out, servers=2, keeping=Keeping(every=0.0), updates=300, observe=observe)
    assert killed
    assert any("A shard of slice 0" in words for words in result.failures)
    assert resume(out, until=Until(updates=310), task=sliceable).updates == 310
    prove(out, sliceable)


@pytest.mark.parametrize("servers", [1, 2])
def test_a_full_disk_is_told_and_the_last_checkpoint_is_whole(nodes, tmp_path, servers):
    out = tmp_path / "run"
    kept = Keeping(every=0.0)
    with pytest.raises(RunFailed, match="Expected room on the disk"):
        go(out, servers=servers, keeping=kept, updates=10**6, observe=fill_up)
    resource.setrlimit(resource.RLIMIT_FSIZE, NO_LIMIT)
    said = json.loads((out / "result.json").read_text())
    assert said["stopped"] == "failed"
    resumed = resume(out, until=Until(updates=said["updates"]), task=sliceable)
    assert resumed.updates == said["updates"]
    prove(out, sliceable)


NO_LIMIT = resource.getrlimit(resource.RLIMIT_FSIZE)


def fill_up(run):
    if run.server.version >= 100:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, NO_LIMIT[1]))


@pytest.mark.parametrize("servers", [1, 2])
def test_the_command_brings_a_killed_server_back(tmp_path, servers):
    out = tmp_path / "run"
    words = ["train", "small_tasks:sliceable", "--runtime", "ray", "--servers", str(servers)]
    words += ["--workers", "2", "--updates", "900", "--chaos", "kill:server,at=3s"]
    words += ["--checkpoint-every", "1", "--seconds-per-job", "0.02"]
    with Command(out, *words) as command:
        code, said = command.end()
    assert code == 0, said
    assert "The server was killed (SIGKILL); it is started again." in said
    result = json.loads((out / "result.json").read_text())
    assert result["updates"] == 900
    assert any("The server died; it went on from version" in words for words in result["failures"])
    prove(out, sliceable)
