"""Workers that compute on an accelerator, and the door where there is none."""

import json

import pytest
import torch
from typer.testing import CliRunner

import small_tasks
from accelerated import KIND, assert_near, needs_accelerator
from lagrad import audit, policies, replay, resume, rules, train
from lagrad.cli._commands import app
from lagrad.runtimes import Local, Ray, Until
from threads_cluster import instead_of_ray

UPDATES = 12
OPTIONS = {
    "rule": rules.Momentum(lr=0.05, momentum=0.5),
    "policy": policies.Synchronous(),
    "workers": 3,
}


def go(runtime, out, task=small_tasks.with_batch_norm, **options):
    until = Until(updates=UPDATES)
    return train(task, runtime=runtime, until=until, out=out, **{**OPTIONS, **options})


def assert_same_training(one, other):
    assert one.updates == other.updates == UPDATES
    for name, value in one.state_dict.items():
        assert other.state_dict[name].device.type == "cpu"
        assert_near(other.state_dict[name], value)


@needs_accelerator
def test_local_workers_train_as_on_the_processor(tmp_path):
    here = go(Local(), tmp_path / "here")
    there = go(Local(device=KIND), tmp_path / "there")
    assert_same_training(here, there)
    assert audit(tmp_path / "there").holds


@needs_accelerator
def test_a_run_on_an_accelerator_goes_on_there(tmp_path):
    go(Local(device=KIND), tmp_path / "run")
    until = Until(updates=2 * UPDATES)
    longer = resume(tmp_path / "run", task=small_tasks.with_batch_norm, until=until)
    whole = train(small_tasks.with_batch_norm, runtime=Local(), until=until, **OPTIONS)
    for name, value in whole.state_dict.items():
        assert_near(longer.state_dict[name], value)


@needs_accelerator
@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_workers_on_ray_train_as_on_the_processor(tmp_path, servers):
    pytest.importorskip("zmq")
    task = small_tasks.make("wide", model=small_tasks.wide, evaluate=None)
    results = []
    for name, device in (("here", "cpu"), ("there", KIND)):
        with instead_of_ray("one", "two"):
            results.append(go(Ray(servers=servers, device=device), tmp_path / name, task))
    assert_same_training(*results)


def test_a_device_that_is_not_here_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available=False: None
    )
    with pytest.raises(ValueError, match=r"got 'cuda', where PyTorch .* finds no accelerator"):
        go(Local(device="cuda"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("runtime", [Local, Ray])
@pytest.mark.parametrize("device", ["nonsense", "mps"])
def test_what_is_no_device_is_refused_when_the_runtime_is_made(runtime, device):
    if runtime is Ray:
        pytest.importorskip("zmq")
        pytest.importorskip("ray")
    with pytest.raises(ValueError, match=f"got '{device}'"):
        runtime(device=device)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "nonsense"], "Expected a device such as 'cpu'"),
        (["--device", "cpu", "--runtime", "simulator"], "--device is for --runtime local and ray"),
    ],
)
def test_the_command_refuses_as_bad_usage(tmp_path, arguments, words):
    found = CliRunner().invoke(app, ["train", "parabola", *arguments, "--out", str(tmp_path / "o")])
    assert found.exit_code == 2
    assert words in found.output
    assert not (tmp_path / "o").exists()


def test_the_command_says_on_which_device(tmp_path):
    out = tmp_path / "o"
    arguments = ["train", "parabola", "--updates", "3", "--device", "cpu", "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert json.loads((out / "config.json").read_text())["device"] == "cpu"


def test_ray_says_which_device_it_is():
    pytest.importorskip("zmq")
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match="a device without a number, got 'cuda:1'"):
        Ray(device="cuda:1")


@pytest.mark.parametrize(
    ("workers", "gpus", "each"), [(2, 4, 1.0), (4, 4, 1.0), (4, 3, 0.5), (6, 1, 0.1666)]
)
def test_workers_share_the_gpus_of_a_cluster_so_that_all_find_room(
    monkeypatch, workers, gpus, each
):
    ray = pytest.importorskip("ray")
    from lagrad.runtimes.ray._cluster import Cluster

    cluster = object.__new__(Cluster)
    cluster._ray = ray
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": float(gpus)})
    share = cluster.gpus_of_each(workers)
    assert share == each
    assert int(1 / share) * gpus >= workers


def test_a_cluster_without_gpus_is_told(monkeypatch):
    ray = pytest.importorskip("ray")
    from lagrad.runtimes import RunFailed
    from lagrad.runtimes.ray._cluster import Cluster

    cluster = object.__new__(Cluster)
    cluster._ray = ray
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0})
    with pytest.raises(RunFailed, match=r"a Ray cluster with GPUs .* got none"):
        cluster.gpus_of_each(4)


def test_a_replay_of_gradients_from_an_accelerator_is_refused(tmp_path):
    train("parabola", runtime=Local(), workers=1, until=Until(updates=3), out=tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "device": "cuda"}))
    with pytest.raises(ValueError, match="got one on cuda, which gives other bits"):
        replay(tmp_path / "run")
