"""Scripts whose model is on an accelerator: they train as on the processor."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from accelerated import KIND, assert_near, needs_accelerator
from lagrad.policies import Synchronous
from lagrad.sessions import Launch, launch

SCRIPT = """
import sys, torch, lagrad
from safetensors.torch import save_file
from torch import nn
from lagrad import rules
torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.linspace(-1, 1, 256)[:, None]
y = 3 * x + 1
session = lagrad.join()
kind = sys.argv[1]
device = torch.device("cpu")
if kind != "cpu":
    device = torch.device(kind, session.worker % torch.accelerator.device_count())
    torch.accelerator.set_device_index(device)
network = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)).to(device)
network[3] = network[3].to({head})
model = session.wrap(network)
assert all(parameter.device == device for parameter in model.parameters())
{optimizer}
def forward(a):
    hidden = model[:3](a.to(device))
    return model[3](hidden.to(model[3].weight.dtype)).float()
session.evaluate_every(1e-3, lambda net: {{"mean": forward(x).mean()}})
for epoch in range(3):
    for a, b in session.batches((x, y), batch_size=32):
        optimizer.zero_grad()
        loss = (forward(a) - b.to(device)).square().mean()
        loss.backward()
        session.log(loss=loss.item())
        optimizer.step()
if session.worker == 0:
    state = {{name: value.cpu() for name, value in session.state_dict().items()}}
    save_file(state, sys.argv[2])
"""
PLAIN = "optimizer = session.optimizer(rules.Momentum(lr=0.05, momentum=0.5))"
LOCAL_STEPS = (
    "inner = torch.optim.SGD(model.parameters(), lr=0.05)\n"
    "optimizer = session.optimizer(rules.Momentum(lr=0.7, momentum=0.5), local=inner, steps=2)"
)


def write(folder, *, head="torch.float32", optimizer=PLAIN):
    path = folder / "train.py"
    path.write_text(SCRIPT.format(head=head, optimizer=optimizer))
    return path


VARIANTS = [{}, {"head": "torch.bfloat16"}, {"optimizer": LOCAL_STEPS}]


@needs_accelerator
@pytest.mark.parametrize("variant", VARIANTS, ids=["plain", "bfloat16", "local steps"])
def test_alone_a_script_trains_as_on_the_processor(tmp_path, variant):
    path, found = write(tmp_path, **variant), {}
    for kind in ("cpu", KIND):
        out = tmp_path / kind
        subprocess.run([sys.executable, path, kind, out], check=True)
        found[kind] = load_file(out)
    for name, value in found["cpu"].items():
        near = torch.testing.assert_close if value.dtype is torch.bfloat16 else assert_near
        near(found[KIND][name], value)


@needs_accelerator
def test_under_lagrad_run_scripts_train_as_on_the_processor(tmp_path):
    path, results = write(tmp_path), []
    for kind in ("cpu", KIND):
        terms = Launch(
            script=path,
            arguments=(kind, str(tmp_path / kind)),
            workers=2,
            policy=Synchronous(),
            out=tmp_path / f"run-{kind}",
        )
        results.append(launch(terms, echo=print))
    here, there = results
    assert here.updates == there.updates == 12
    for name, value in here.state_dict.items():
        assert_near(there.state_dict[name], value)
        assert_near(load_file(tmp_path / KIND)[name], value)


def test_gpus_are_given_by_ray_alone(tmp_path):
    with pytest.raises(ValueError, match="gpus=True of a run on Ray alone"):
        Launch(script=write(tmp_path), gpus=True)
