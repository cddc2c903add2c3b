"""A run of scripts whose model, loss and data are known as a task is recomputed from its trace."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import small_scripts
from lagrad import audit, replay
from lagrad.runtimes import Durability, Keeping, Stopped
from lagrad.sessions import Launch, launch, resume


def run(path, **terms):
    return launch(Launch(script=path, **{"workers": 2, **terms}), echo=lambda worker, line: None)


def test_a_run_with_a_scheduler_is_recomputed_to_the_bit(trained, tmp_path):
    out = Path(shutil.copytree(trained[0].out, tmp_path / "run"))
    again = replay(out, task=small_scripts.TASK)
    assert again.identical, again.differences
    assert audit(out).holds
    # The factors decide: without them in the trace the parameters are others.
    lines = [json.loads(line) for line in (out / "trace.jsonl").read_text().splitlines()]
    told = {tuple(line["rates"]) for line in lines if line["is"] == "push"}
    assert {(1.0,), (0.5,), (0.25,)} <= told
    for line in lines:
        line.pop("rates", None)
    (out / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert not replay(out, task=small_scripts.TASK).identical


def test_groups_of_one_worker_are_those_of_torch(tmp_path):
    groups = "[{'params': [model.weight], 'lr': 0.02}, {'params': [model.bias]}]"
    path = small_scripts.write(tmp_path, groups=groups)
    kept = Keeping(Durability.NONE)
    result = run(path, workers=1, out=tmp_path / "run", keeping=kept)
    assert result.stopped is Stopped.ENDED
    model, data = small_scripts.linear(), small_scripts.points()
    plain = torch.optim.SGD(
        [{"params": [model.weight], "lr": 0.02}, {"params": [model.bias]}], lr=0.1, momentum=0.5
    )
    scheduler = torch.optim.lr_scheduler.StepLR(plain, 1, gamma=0.5)
    for epoch in range(4):
        for chunk in small_scripts.order(epoch).split(16):
            plain.zero_grad()
            small_scripts.square(model, data.batch(chunk)).backward()
            plain.step()
        scheduler.step()
    assert isinstance(model, nn.Linear)
    assert torch.equal(result.state_dict["weight"], model.weight)
    assert torch.equal(result.state_dict["bias"], model.bias)
    again = replay(tmp_path / "run", task=small_scripts.TASK)
    assert again.identical, again.differences
    assert not list((tmp_path / "run" / "checkpoints").glob("0*"))
    with pytest.raises(ValueError, match="Expected a checkpoint"):
        resume(tmp_path / "run", echo=lambda worker, line: None)
