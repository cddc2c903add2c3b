"""What a replay finds where a run's files are no longer those that the run wrote."""

import json

import pytest
from safetensors.torch import load_file, save_file

import small_tasks
from lagrad import replay, train
from lagrad.core import BufferPolicy
from lagrad.runtimes import Simulator, Until


@pytest.fixture
def run(tmp_path):
    out = tmp_path / "run"
    train(
        small_tasks.with_batch_norm,
        runtime=Simulator(),
        workers=2,
        until=Until(updates=6),
        ema=0.5,
        out=out,
    )
    return out


def differences(run) -> tuple[str, ...]:
    return replay(run, task=small_tasks.with_batch_norm).differences


def weights(run):
    return run / "checkpoints" / "model.safetensors"


def test_the_run_as_it_is_has_none(run):
    assert differences(run) == ()


@pytest.mark.parametrize("name", ["0.weight", "1.running_mean"])
def test_other_weights(run, name):
    saved = load_file(weights(run))
    saved[name] = saved[name] + 1e-3
    save_file(saved, weights(run))
    assert differences(run) == (f"the saved weights differ from the recomputed ones in {name}",)


def test_weights_too_many_and_too_few(run):
    saved = load_file(weights(run))
    saved["more"] = saved.pop("2.bias")
    save_file(saved, weights(run))
    assert [line.rsplit(" ", 1)[-1] for line in differences(run)] == ["2.bias", "more"]


def test_weights_that_are_gone(run):
    weights(run).unlink()
    (found,) = differences(run)
    assert "model.safetensors" in found


def test_another_trace_than_the_one_that_was_summed_up(run):
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "trace_sha256": "0" * 64}))
    assert differences(run) == ("the trace is not the one of which result.json has the SHA-256",)


def test_a_trace_that_was_cut(run):
    trace = run / "trace.jsonl"
    trace.write_bytes(b"".join(trace.read_bytes().splitlines(keepends=True)[:-1]))
    assert differences(run) == ("the record has no end: its run was killed or it was cut",)


@pytest.mark.parametrize("buffers", BufferPolicy)
def test_every_policy_of_buffers_gives_the_saved_ones_again(tmp_path, buffers):
    train(
        small_tasks.with_batch_norm,
        runtime=Simulator(),
        workers=2,
        until=Until(updates=6),
        buffers=buffers,
        out=tmp_path / "run",
    )
    assert differences(tmp_path / "run") == ()
